"""How work is stopped from outside: which signals ask for it, and which exit code answers.

Ctrl-C ends with 130, as shells expect. SIGTERM, and SIGUSR1, which SLURM sends before the time is
over where it is asked to (`--signal=USR1@120`), end with 75 ("try again later", EX_TEMPFAIL of
sysexits.h), on which a batch script puts the job back into the queue.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, AGAIN = 130, 75
CODES = {
    getattr(signal, name): code
    for name, code in {"SIGINT": INTERRUPTED, "SIGTERM": AGAIN, "SIGUSR1": AGAIN}.items()
    if hasattr(signal, name)  # Windows has no SIGUSR1
}


class Stopped(SystemExit):
    """Work was stopped from outside; the same command goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(CODES[number])
        self.name = signal.Signals(number).name

    def __str__(self) -> str:
        return self.name


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that ends work where it stands."""
    raise Stopped(number)


@contextmanager
def heard() -> Iterator[None]:
    """Lets SIGTERM and SIGUSR1 end work in good order, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in CODES if number != signal.SIGINT]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
