from __future__ import annotations

import os
import signal
import threading

import pytest

from windtunnel import stopping


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)]
)
def test_each_signal_ends_with_its_code_and_its_name(number: int, code: int) -> None:
    stopped = stopping.Stopped(number)
    assert (stopped.code, str(stopped)) == (code, signal.Signals(number).name)
    assert isinstance(stopped, SystemExit)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_work_while_it_is_heard(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(stopping.Stopped) as stopped, stopping.heard():
        os.kill(os.getpid(), number)
    assert stopped.value.code == stopping.AGAIN
    assert signal.getsignal(number) == before


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with stopping.heard():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
