from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel import faults

ROOT = Path(__file__).parents[1]


def test_without_the_variable_nothing_happens() -> None:
    assert faults.watch is None
    faults.point("step")


def test_it_strikes_once_at_its_point_when_the_time_has_come() -> None:
    fault, struck = faults.Fault("a.b*2=ENOSPC"), []
    for n, name in enumerate(["a.b", "other", "a.b", "a.b"]):
        try:
            fault(name)
        except OSError as error:
            struck.append((n, error.strerror))
    assert struck == [(2, "No space left on device")]


def test_a_signal_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))
    faults.Fault("step=SIGTERM")("step")
    assert sent == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("text", ["", "a b", "step*0", "step=NONSENSE", "step*2=", "=SIGTERM"])
def test_what_says_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="WINDTUNNEL_FAULT: expected NAME"):
        faults.Fault(text)


def test_the_variable_kills_a_process() -> None:
    code = "from windtunnel.faults import point; point('other'); point('here'); print('alive')"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "WINDTUNNEL_FAULT": "here"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
