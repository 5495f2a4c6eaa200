from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydra_plugins.windtunnel_process_launcher import _jobs, _progress
from hydra_plugins.windtunnel_process_launcher._jobs import LaunchedJob, Outcome
from tests.made import made_record
from windtunnel.interfaces import Job


def launched(home: Path, name: str, share: float = 0.0) -> LaunchedJob:
    folder = home / name
    folder.mkdir()
    progress = {"tokens": int(100 * share), "total_tokens": 100}
    (folder / "progress.json").write_text(json.dumps(progress))
    sweep = {"dir": str(home), "subdir": name}
    return LaunchedJob(name, [], lambda: OmegaConf.create({"hydra": {"sweep": sweep}}))


def finish(job: LaunchedJob, **changes: Any) -> None:
    made = Job(job.label, "rung", {"model.width": 64, "seed": 1})
    made_record(made, 2.5, **changes).save(job.folder)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def plan(home: Path, **costs: float) -> None:
    jobs = [{"name": name, "role": "rung", "cost": cost} for name, cost in costs.items()]
    (home / _progress.PLAN).write_text(json.dumps({"jobs": jobs}))


def test_the_line_counts_all_planned_jobs_and_the_cost_that_is_left(
    tmp_path: Path, clock: list[float]
) -> None:
    finish(launched(tmp_path, "early"))
    a, b = launched(tmp_path, "a", share=1.0), launched(tmp_path, "b", share=0.5)
    plan(tmp_path, early=9, a=1, b=2, target=4)
    progress = _progress.Progress([a, b], tmp_path)
    progress.started(a)
    progress.started(b)
    clock[0] += 30
    progress.outcomes["a"] = Outcome("finished", 2.5, "")
    # Cost 1 + 2 x 0.5 of 1 + 2 + 4 was done in 30 s, so 5 are left at 15 s each.
    assert progress.line() == "2/4 done, 1 running (b 50 %), 0 failed, 1 min 15 s left"


def test_without_a_terminal_there_is_one_line_per_job(
    tmp_path: Path, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = launched(tmp_path, "a"), launched(tmp_path, "b")
    with _progress.Progress([a, b], tmp_path) as progress:
        progress.started(a)
        progress.tick()
        clock[0] += 40
        finish(a)
        progress.ended(a, Outcome("finished", 2.5, ""))
        progress.started(b)
        (b.folder / "log.txt").write_text("".join(f"line {i}\n" for i in range(20)))
        progress.ended(b, Outcome("failed", None, "RuntimeError: no"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/2] a: finished, loss 2.5000 in 40 s, 40 s left"
    assert lines[1] == "[1/2] b: failed after 0.0 s"
    assert lines[2:10] == [f"  line {i}" for i in range(12, 20)]
    assert lines[10:] == ["  RuntimeError: no", f"  log: {b.folder / 'log.txt'}"]


def test_what_records_warn_of_is_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = launched(tmp_path, "a"), launched(tmp_path, "b")
    with _progress.Progress([a, b], tmp_path) as progress:
        for job, warnings in ((a, ["little text"]), (b, ["little text", "hot"])):
            progress.started(job)
            finish(job, warnings=warnings)
            progress.ended(job, Outcome("finished", 2.5, ""))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "note" in line] == ["  note: little text", "  note: hot"]


def test_a_refused_job_is_told_without_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = launched(tmp_path, "a")
    with _progress.Progress([a], tmp_path) as progress:
        progress.started(a)
        (a.folder / "log.txt").write_text("Traceback\n")
        progress.ended(a, Outcome("refused", None, "disk: full"))
        assert progress.line() == "0/1 done, 0 running, 1 failed"
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  disk: full",
        f"  log: {a.folder}/log.txt",
    ]


def test_the_same_failure_is_shown_in_full_only_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = launched(tmp_path, "a"), launched(tmp_path, "b")
    with _progress.Progress([a, b], tmp_path) as progress:
        for job in (a, b):
            progress.started(job)
            (job.folder / "log.txt").write_text("a long trace\nRuntimeError: no")
            progress.ended(job, Outcome("failed", None, "RuntimeError: no"))
    out = capsys.readouterr().out
    assert out.count("  a long trace\n  RuntimeError: no\n  log: ") == 1
    assert out.count("  RuntimeError: no (as before)\n  log: ") == 1


def test_a_job_that_died_without_a_log_is_shown_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = launched(tmp_path, "a")
    with _progress.Progress([a], tmp_path) as progress:
        progress.started(a)
        progress.ended(a, Outcome("failed", None, "ended by SIGKILL"))
    assert "  ended by SIGKILL\n" in capsys.readouterr().out


def test_a_diverged_job_is_said_with_its_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = launched(tmp_path, "a")
    made_record(Job("a", "rung", {"model.width": 64, "seed": 1}), None).save(a.folder)
    with _progress.Progress([a], tmp_path) as progress:
        progress.started(a)
        progress.ended(a, Outcome("finished", float("nan"), ""))
    assert "a: diverged at step 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("elapsed", "done", "total", "left"),
    [(10, 0, 4, None), (10, 0.01, 4, None), (10, 1, 4, 30), (10, 4, 4, 0), (10, 0, 0, None)],
)
def test_time_left_is_cost_left_over_pace(
    elapsed: float, done: float, total: float, left: float | None
) -> None:
    assert _progress.time_left(elapsed, done, total) == left


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": 3}'])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    job = launched(tmp_path, "a")
    (job.folder / "progress.json").write_text(text)
    assert _progress.share_done(job) == 0.0
    assert _progress.planned_costs(tmp_path) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (42.4, "42 s"), (185, "3 min 5 s"), (7825, "2 h 10 min")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert _progress.duration(seconds) == text


def test_jobs_are_called_by_their_folder_or_by_what_they_alone_set() -> None:
    named = ["a=1", "seed=2", "hydra.sweep.subdir=w64-s1"]
    assert _jobs.labels([named, ["a=1", "hydra.sweep.subdir='x y'"]]) == ["w64-s1", "x y"]
    assert _jobs.labels([["+recipe=r", "a=1", "b=2"], ["+recipe=r", "a=2", "b=2"]]) == [
        "a=1",
        "a=2",
    ]
    assert _jobs.labels([["a=1"]]) == ["job"]
