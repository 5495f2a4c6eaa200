"""Named points where a test ends the process, or lets the disk refuse, to see what is left.

`WINDTUNNEL_FAULT=NAME` kills the process (SIGKILL) when it first comes to the point NAME;
`NAME*3=SIGTERM` sends that signal when it comes there for the third time; `NAME=ENOSPC` raises that
error of the operating system. Unset, as always but in tests, a point costs one comparison.

Points: before, during and after every write (`FILE.before_write`, `.during_write`,
`.before_rename`, `.after_rename`), `last.ckpt.during_rotation`, `metrics.csv.during_append`,
`step`, `evaluation.start`, `evaluation.end`, `averaging.exchanged`, `averaging.restored`,
`rollback.before`, `rollback.after`, `store.before_rename`, `store.after_rename`,
`study.before_batch`, `study.after_batch`.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Callable

VARIABLE = "WINDTUNNEL_FAULT"
FORM = re.compile(r"(?P<name>[\w.-]+)(\*(?P<times>[1-9]\d*))?(=(?P<what>[A-Z0-9]+))?")


class Fault:
    """What happens at one point, once."""

    def __init__(self, text: str) -> None:
        found = FORM.fullmatch(text)
        what = "SIGKILL" if found is None else found["what"] or "SIGKILL"
        self.error, self.signal = getattr(errno, what, None), getattr(signal, what, None)
        if found is None or (self.error is None and self.signal is None):
            raise ValueError(
                f"{VARIABLE}: expected NAME, NAME*3 or NAME=ENOSPC with a signal or an error of "
                f"the operating system, got {text!r}: correct it, or unset it to train"
            )
        self.name, self.left = found["name"], int(found["times"] or 1)

    def __call__(self, name: str) -> None:
        """Strikes where this is the point, and the time has come."""
        self.left -= name == self.name
        if name != self.name or self.left != 0:
            return
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        assert self.signal is not None
        os.kill(os.getpid(), self.signal)


watch: Callable[[str], None] | None = None
if os.environ.get(VARIABLE):
    watch = Fault(os.environ[VARIABLE])


def point(name: str) -> None:
    """A place where the process may end."""
    if watch is not None:
        watch(name)
