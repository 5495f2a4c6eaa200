from __future__ import annotations

import subprocess
from typing import Any

import pytest

from hydra_plugins.windtunnel_process_launcher import _slots
from hydra_plugins.windtunnel_process_launcher._slots import Slot, share

AUTO: dict[str, Any] = {
    "workers": "auto", "threads": "auto", "devices": 1, "cores": 8, "gpus": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("n_jobs", "changes", "expected"),
    [
        (1, {}, [Slot(8, ())]),
        (3, {}, [Slot(2, ())] * 3),
        (20, {}, [Slot(1, ())] * 8),
        (20, {"threads": 4}, [Slot(4, ())] * 2),
        (20, {"threads": 16}, [Slot(16, ())]),
        (20, {"workers": 2}, [Slot(4, ())] * 2),
        (20, {"workers": 2, "threads": 1}, [Slot(1, ())] * 2),
        (20, {"devices": 2}, [Slot(1, ())] * 4),
        (20, {"gpus": ["0", "1"]}, [Slot(4, ("0",)), Slot(4, ("1",))]),
        (1, {"gpus": ["0", "1"]}, [Slot(8, ("0",))]),
        (5, {"gpus": ["0", "1", "2"], "devices": 2}, [Slot(4, ("0", "1"))]),
        (3, {"gpus": ["7"], "workers": 3}, [Slot(2, ("7",))] * 3),
    ],
)
def test_cores_and_gpus_are_shared(
    n_jobs: int, changes: dict[str, Any], expected: list[Slot]
) -> None:
    assert share(n_jobs, **(AUTO | changes)) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": 0}, r"^hydra.launcher.workers: .*got 0"),
        ({"threads": "many"}, r"^hydra.launcher.threads: .*got 'many'"),
        ({"gpus": ["0"], "devices": 2}, r"^trainer.devices: expected at most the 1 GPUs"),
    ],
)
def test_what_cannot_be_shared_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        share(2, **(AUTO | changes))


def test_a_slot_keeps_a_job_to_its_threads_and_gpus() -> None:
    environment = Slot(3, ("1", "2")).environment
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert "CUDA_VISIBLE_DEVICES" not in Slot(3, ()).environment


@pytest.mark.parametrize(
    ("visible", "expected"), [("0,3", ["0", "3"]), ("", []), ("-1", []), ("GPU-a", ["GPU-a"])]
)
def test_visible_gpus_are_those_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _slots.gpus() == expected


def test_without_the_variable_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "0\n1\n", "")

    def broken(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.CalledProcessError(9, command)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(_slots.shutil, "which", lambda _: None)
    assert _slots.gpus() == []
    monkeypatch.setattr(_slots.shutil, "which", lambda name: name)
    monkeypatch.setattr(_slots.subprocess, "run", listed)
    assert _slots.gpus() == ["0", "1"]
    monkeypatch.setattr(_slots.subprocess, "run", broken)
    assert _slots.gpus() == []
