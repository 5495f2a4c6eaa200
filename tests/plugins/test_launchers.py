"""joblib and submitit in the place of the process launcher, with jobs that count."""

from __future__ import annotations

import importlib.util
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf

from hydra_plugins.windtunnel_joblib_launcher import _parallel
from hydra_plugins.windtunnel_process_launcher._jobs import LaunchedJob, Outcome, retried
from hydra_plugins.windtunnel_process_launcher.process_launcher import ProcessLauncher
from hydra_plugins.windtunnel_submitit_launcher import _executor
from hydra_plugins.windtunnel_submitit_launcher._command import Command
from hydra_plugins.windtunnel_submitit_launcher.submitit_launcher import SubmititLauncher
from windtunnel.stopping import AGAIN

Start = Callable[..., subprocess.Popen[str]]

PROCESS: dict[str, Any] = {
    "workers": "auto", "threads": 1, "devices": 1, "accelerator": "cpu", "preload": [],
    "prepare": "builtins.id", "grace_seconds": 1,
}  # fmt: skip


def study_folder(home: Path) -> Path:
    (folder,) = [p for p in (home / "outputs/ladder").iterdir() if p.is_dir()]
    return folder


def starts(job: Path) -> list[int]:
    return [int(line.split()[0]) for line in lines(job)]


def lines(job: Path) -> list[str]:
    return (job / "starts").read_text().splitlines()


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a study says until its end, which may be minutes away."""
    with process:
        out, err = process.communicate(timeout=1800)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


LAUNCHERS = {"joblib": "joblib", "submitit_local": "submitit"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_study_of_thirty_jobs_has_all_but_the_one_that_diverges(
    start: Start, tmp_path: Path, launcher: str
) -> None:
    """One of them is killed the first time, and tried once more."""
    needs(LAUNCHERS[launcher])
    arguments = ("study.seeds=30", "die=7", "die_once=true", "diverge=11")
    done = finish(start("+recipe=ladder", f"hydra/launcher={launcher}", *arguments))
    assert (done.returncode, done.stderr) == (0, "")
    folder = study_folder(tmp_path)
    study = json.loads((folder / "study.json").read_text())
    names = [*(f"s{seed}" for seed in range(1, 31)), "target"]
    assert set(study["losses"]) == set(names)
    assert [name for name, loss in study["losses"].items() if loss is None] == ["s11"]
    assert study["missing"] == []
    assert "s11: diverged" in done.stdout
    assert "s7: lost after" in done.stdout
    assert [len(starts(folder / name)) for name in names] == [1] * 6 + [2] + [1] * 24
    processes = {line for name in names for line in lines(folder / name)}
    assert len(processes) == 32  # each in one of its own


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_failed_refused_and_lost_jobs_are_told_apart(
    start: Start, tmp_path: Path, launcher: str
) -> None:
    needs(LAUNCHERS[launcher])
    arguments = ("study.seeds=4", "fail=1", "late=2", "die=3")
    done = finish(start("+recipe=ladder", f"hydra/launcher={launcher}", *arguments))
    assert done.returncode == 1
    said = {"s1: failed": 1, "s2: refused": 1, "s3: lost": 2, "s4: finished": 1}
    assert {words: done.stdout.count(words) for words in said} == said
    assert "late: expected another seed, got 2; change it" in done.stdout
    assert "RuntimeError: seed 1 fails" in done.stdout
    assert done.stderr.startswith("3 jobs of the study have no result: s1, s2, s3;")


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_stopped_study_lets_its_jobs_save_and_leaves_none_behind(
    start: Start, tmp_path: Path, launcher: str
) -> None:
    needs(LAUNCHERS[launcher])
    with start("+recipe=ladder", "steps=2000", f"hydra/launcher={launcher}") as process:
        deadline = time.monotonic() + 40
        while len(list(tmp_path.glob("outputs/ladder/*/s*/count.json"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == AGAIN
    _, alive = psutil.wait_procs(family, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    for name in ("s1", "s2"):
        folder = study_folder(tmp_path) / name
        progress = json.loads((folder / "progress.json").read_text())
        assert json.loads((folder / "count.json").read_text()) - progress["tokens"] in (0, 1)


# ------------------------------------------------------------------------------------------ retries


def job(label: str) -> LaunchedJob:
    return LaunchedJob(label, [], lambda: OmegaConf.create({}))


def test_only_what_was_ended_from_outside_is_tried_again_and_only_once() -> None:
    kinds: list[Any] = ["finished", "failed", "refused", "stopped", "lost", "lost"]
    jobs = [job(str(i)) for i in range(len(kinds))]
    tried: list[list[str]] = []
    said: list[str] = []

    def run(some: Any) -> list[Outcome]:
        tried.append([each.label for each in some])
        again = len(tried) > 1
        return [
            Outcome("finished" if again and each.label != "5" else kinds[int(each.label)], 0, "")
            for each in some
        ]

    outcomes = retried(jobs, run, said.append)
    assert tried == [["0", "1", "2", "3", "4", "5"], ["3", "4", "5"]]
    assert [o.status for o in outcomes] == [*kinds[:3], "finished", "finished", "lost"]
    assert said == ["tried once more, since something else than they ended them: 3, 4, 5"]


# ---------------------------------------------------------------------------------------- submitit


def test_the_command_of_a_job_does_it_alone_in_its_folder(tmp_path: Path) -> None:
    overrides = {"hydra": ["hydra/launcher=submitit_local"], "task": ["+recipe=r", "seed=2"]}
    sweep = {"dir": f"{tmp_path}/it's", "subdir": "a"}
    config = OmegaConf.create({"hydra": {"overrides": overrides, "sweep": sweep}})
    assert _executor.words(LaunchedJob("a", [], lambda: config), Path("/x/train.py")) == [
        sys.executable, "/x/train.py", "hydra/launcher=submitit_local", "+recipe=r", "seed=2",
        f"hydra.run.dir='{tmp_path}/it\\'s/a'", "hydra.mode=RUN",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (None, "lost", "its process or its machine is gone"),
        (0, "finished", ""),
        (-9, "lost", "ended by SIGKILL"),
        (AGAIN, "stopped", "stopped from outside"),
        (130, "stopped", "stopped from outside"),
        (2, "refused", "no such width"),
        (1, "failed", "no such width"),
    ],
)
def test_how_a_job_ended_is_told_from_what_it_left(
    tmp_path: Path, code: int | None, status: str, said: str
) -> None:
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path), "subdir": "a"}}})
    ending = tmp_path / "a.json"
    (tmp_path / "a").mkdir()
    (tmp_path / "a/log.txt").write_text("no such width\n")
    if code is not None:
        ending.write_text(json.dumps({"code": code}))
    outcome = _executor.outcome_of(LaunchedJob("a", [], lambda: config), ending)
    assert outcome.status == status
    assert said in outcome.reason


def test_a_command_logs_and_says_how_it_ended(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['SLOT']); sys.exit(3)"
    log, ending = tmp_path / "a/log.txt", tmp_path / "b/a.json"
    Command([sys.executable, "-c", code], {"SLOT": "two"}, log, ending)()
    assert json.loads(ending.read_text()) == {"code": 3}
    assert log.read_text().splitlines()[1:] == ["two"]


def test_a_job_out_of_time_saves_and_goes_back_into_the_queue(tmp_path: Path) -> None:
    needs("submitit")
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); "
    code += "print('ready', flush=True); time.sleep(60)"
    log = tmp_path / "log.txt"
    command = Command([sys.executable, "-c", code], {}, log, tmp_path / "a.json")

    def over(*_: Any) -> None:
        again = command.checkpoint()
        assert again.function is command
        assert pickle.loads(pickle.dumps(command)).words == command.words
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0)
        with pytest.raises(InterruptedError):
            command()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / "a.json").exists()


def test_slurm_shares_its_machines_itself() -> None:
    launcher = SubmititLauncher(cluster="slurm", parameters={"a": None}, timeouts=1, **PROCESS)
    assert (launcher.slots(3), launcher.parameters) == ([None] * 3, {})
    with pytest.raises(ValueError, match=r"hydra\.launcher\.cluster must be slurm or local"):
        SubmititLauncher(cluster="pbs", parameters={}, timeouts=1, **PROCESS)  # type: ignore[arg-type]


def test_what_submitit_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("submitit")
    with pytest.raises(ValueError, match=r"submitit_slurm: submitit refuses .*launcher=process"):
        _executor.make(tmp_path, "slurm", {}, 1)
    for key, value in {"walltime": 3, "gpus_per_node": "auto"}.items():
        with pytest.raises(ValueError, match=rf"submitit_local: submitit refuses .*{key}"):
            _executor.make(tmp_path, "local", {key: value}, 1)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"needs submitit, which is not installed: pip install"):
        _executor.make(tmp_path, "local", {}, 1)


def test_joblib_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    nothing: Any = SimpleNamespace()
    with pytest.raises(ValueError, match="needs joblib, which is not installed: pip install"):
        _parallel.run([], [], nothing, ("a", "b"), nothing, grace_seconds=1, settings={})


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [
        (2, "0,1,2,3,4", [("0", "1"), ("2", "3")]),
        ("auto", "0,1", [("0", "1")]),
        ("auto", "", [()]),
    ],
)
def test_the_devices_of_a_job_are_pinned(
    monkeypatch: pytest.MonkeyPatch, devices: int | str, visible: str, expected: list[Any]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    settings = PROCESS | {"devices": devices, "accelerator": "auto", "workers": len(expected)}
    launcher = ProcessLauncher(**settings)
    assert [slot.gpus for slot in launcher.slots(9)] == expected
