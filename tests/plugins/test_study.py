"""The study sweeper and the process launcher together, with jobs that count instead of training."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.plugins.conftest import begin

App = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

LONG = ("+recipe=ladder", "steps=60")


def study_folder(home: Path) -> Path:
    (folder,) = [p for p in (home / "outputs/ladder").iterdir() if p.is_dir()]
    return folder


def starts(job: Path) -> list[int]:
    """The counts that a job went on from."""
    lines = (job / "starts").read_text().splitlines()
    return [int(line.split()[0]) for line in lines]


def wait_until(ready: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_counts(home: Path, *names: str) -> None:
    wait_until(lambda: all(any(home.glob(f"outputs/ladder/*/{name}/count.json")) for name in names))


def n_processes(folder: Path) -> int:
    return len({p.read_text().split()[1] for p in folder.glob("*/starts")})


def test_stages_run_in_order_and_nothing_runs_twice(app: App, tmp_path: Path) -> None:
    first = app("+recipe=ladder")
    assert (first.returncode, first.stderr) == (0, "")
    folder = study_folder(tmp_path)
    lines = first.stdout.splitlines()
    assert lines[0] == f"study ladder in {folder}"
    assert [line.split(":")[0] for line in lines[1:]][-1] == "[3/3] target"
    again = app("+recipe=ladder")
    assert again.returncode == 0
    assert [starts(folder / name) for name in ("s1", "s2", "target")] == [[0], [0], [0]]
    study = json.loads((folder / "study.json").read_text())
    assert study["losses"] == {"s1": 1.25, "s2": 2.25, "target": 3.25}
    assert (study["missing"], study["digest"]) == ([], folder.name)
    config = json.loads((folder / "target/config.json").read_text())
    assert (config["role"], config["note"]) == ("target", None)
    assert json.loads((folder / "s1/config.json").read_text())["note"] == "it's, a note"
    assert n_processes(folder) == 3
    assert "threads 1" in (folder / "s1/log.txt").read_text()


def test_a_failed_job_is_shown_the_rest_goes_on_and_the_study_says_what_is_missing(
    app: App, tmp_path: Path
) -> None:
    done = app("+recipe=ladder", "fail=1")
    folder = study_folder(tmp_path)
    assert done.returncode == 1
    assert "s1: failed after" in done.stdout
    assert "RuntimeError: seed 1 fails" in done.stdout
    assert f"log: {folder / 's1/log.txt'}" in done.stdout
    assert "s2: finished" in done.stdout
    assert done.stderr.startswith("1 jobs of the study have no result: s1;")
    study = json.loads((folder / "study.json").read_text())
    assert (study["missing"], study["losses"]) == (["s1"], {"s2": 2.25})
    assert not (folder / "target").exists()


@pytest.mark.faults
def test_a_job_killed_by_the_system_is_said(app: App) -> None:
    done = app("+recipe=ladder", "die=2")
    assert done.returncode == 1
    assert done.stdout.count("s2: lost after") == 2
    assert "ended by SIGKILL: out of memory?" in done.stdout
    assert done.stderr.startswith("1 jobs of the study have no result: s2;")


@pytest.mark.faults
def test_a_job_that_was_lost_is_tried_once_more(app: App, tmp_path: Path) -> None:
    done = app("+recipe=ladder", "die=2", "die_once=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tried once more, since something else than they ended them: s2\n" in done.stdout
    folder = study_folder(tmp_path)
    assert [len(starts(folder / name)) for name in ("s1", "s2", "target")] == [1, 2, 1]


def test_a_grid_runs_the_whole_study_at_each_point(app: App, tmp_path: Path) -> None:
    done = app("+recipe=ladder", "optim.lr=0.25,0.5", "study.seeds=1", "fail=1")
    assert done.stderr.count("1 jobs of the study have no result: s1") == 2
    assert len([p for p in (tmp_path / "outputs/ladder").iterdir() if p.is_dir()]) == 2


def test_fresh_starts_another_folder_and_its_name_goes_on_there(app: App, tmp_path: Path) -> None:
    for fresh in ("false", "true", "2"):
        assert app("+recipe=ladder", f"fresh={fresh}").returncode == 0
    first, second = sorted((tmp_path / "outputs/ladder").glob("*/"))
    assert second.name == f"{first.name}-2"
    assert starts(second / "s1") == [0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+recipe=ladder", "study.seeds=0"], "study.seeds: expected at least 1, got 0"),
        (["+recipe=ladder", "seed=4"], "seed=4: the study sets seed for each of its jobs"),
        (["-m", "+recipe=single", "hydra/sweeper=study"], "study: expected a study, got none"),
        (["+recipe=ladder", "+recip=x"], "recip: expected one of the config's sections"),
        (["+recipe=ladder", "refuse=2"], "refuse: expected another seed, got 2; change it"),
    ],
)
def test_a_study_that_cannot_run_is_refused_before_any_work(
    app: App, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = app(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


@pytest.mark.faults
def test_a_killed_study_leaves_no_orphans_and_the_same_command_goes_on(
    start: Start, app: App, tmp_path: Path
) -> None:
    with start(*LONG) as process:
        wait_for_counts(tmp_path, "s1", "s2")
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3
        process.kill()
    psutil.wait_procs(family, timeout=5)
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)
    assert app("+recipe=ladder", "steps=60", "paths.outputs=outputs").returncode == 0
    folder = study_folder(tmp_path)
    assert [len(starts(folder / name)) for name in ("s1", "s2", "target")] == [2, 2, 1]
    assert starts(folder / "s1")[1] >= 5


POINTS = (
    "study.before_batch",
    "study.before_batch*2",
    "study.after_batch",
    "study.after_batch*2",
    *(
        f"{file}.{place}"
        for file in ("jobs.json", "study.json", "code.json")
        for place in ("before_write", "during_write", "before_rename", "after_rename")
    ),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a study leaves that nothing ends."""
    home = tmp_path_factory.mktemp("whole")
    with begin(home, "+recipe=ladder") as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    return remains(home)


@pytest.mark.faults
@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if "batch" in p else pytest.mark.slow) for p in POINTS]
)
def test_a_kill_at_a_point_changes_nothing(
    tmp_path: Path, whole: dict[str, Any], point: str
) -> None:
    with begin(tmp_path, "+recipe=ladder", WINDTUNNEL_FAULT=point) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with begin(tmp_path, "+recipe=ladder") as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert remains(tmp_path) == whole
    assert max(len(starts(job)) for job in study_folder(tmp_path).glob("*/")) == 1


def remains(home: Path) -> dict[str, Any]:
    """The names of all files, and what the study says of its jobs."""
    folder = study_folder(home)
    study = json.loads((folder / "study.json").read_text())
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    jobs = json.loads((folder / "jobs.json").read_text())
    return {"files": names, "jobs": jobs, "losses": study["losses"], "missing": study["missing"]}


@pytest.mark.faults
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)]
)
def test_a_stopped_study_lets_its_jobs_save_and_says_how_to_go_on(
    start: Start, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    with start(*LONG) as process:
        wait_for_counts(tmp_path, "s1", "s2")
        process.send_signal(how)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "stopping 2 jobs, which save their state" in out
    assert err == "stopped; the same command goes on: python train.py +recipe=ladder steps=60\n"
    folder = study_folder(tmp_path)
    for name in ("s1", "s2"):
        progress = json.loads((folder / name / "progress.json").read_text())
        saved = json.loads((folder / name / "count.json").read_text())
        assert saved - progress["tokens"] in (0, 1)


@pytest.mark.faults
def test_the_same_study_does_not_run_twice_at_once(start: Start, app: App, tmp_path: Path) -> None:
    with start("+recipe=ladder", "steps=1000") as process:
        wait_for_counts(tmp_path, "s1")
        second = app("+recipe=ladder", "steps=1000")
        process.kill()
    assert second.returncode == 2
    assert f"process {process.pid} on" in second.stderr


def test_plain_sweeps_use_the_launcher_and_name_folders_by_content(
    app: App, tmp_path: Path
) -> None:
    done = app("-m", "+recipe=single", "seed=1,2", "steps=3")
    assert done.returncode == 0
    assert "[2/2] seed=" in done.stdout
    folders = {p.parent for p in tmp_path.glob("outputs/single/*/record.json")}
    assert len(folders) == 2
    assert app("+recipe=single", "seed=2", "steps=3").returncode == 0
    assert sorted(len(starts(folder)) for folder in folders) == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=1,2", "refuse=2"], "refuse: expected another seed, got 2; change it"),
        (["seed=1,-2"], "seed: expected a whole number of at least 0, got -2"),
        (
            ["fresh=a,a"],
            "job: expected a job of its own, but it trains the same as job, in the fol",
        ),
        (["fresh=true,2"], "fresh=2: expected a job of its own, but it trains the same as fresh=T"),
    ],
)
def test_a_sweep_with_a_bad_job_is_refused_before_the_first_starts(
    app: App, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = app("-m", "+recipe=single", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"multirun.yaml"}


def test_a_finished_job_is_not_prepared_again(app: App, tmp_path: Path) -> None:
    """Its corpus may be gone by then."""
    for arguments in (["+recipe=ladder"], ["-m", "+recipe=single", "seed=1,2"]):
        assert app(*arguments).returncode == 0
        (tmp_path / "refuse").write_text("2")
        assert app(*arguments).returncode == 0
        (tmp_path / "refuse").unlink()


def test_a_job_that_refuses_to_go_on_says_only_why(app: App) -> None:
    done = app("-m", "+recipe=single", "seed=1,2", "late=1")
    said = "late: expected another seed, got 1; change it"
    assert (done.returncode, done.stderr) == (2, f"seed=1: {said}\n")
    assert f"  {said}\n  log: " in done.stdout
    assert "seed=2: finished" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_failed_job_of_a_plain_sweep_leaves_the_others_alone(app: App) -> None:
    done = app("-m", "+recipe=single", "seed=1,2", "fail=1")
    assert done.returncode == 1
    assert "seed=2: finished" in done.stdout
    assert done.stderr == "seed=1: RuntimeError: seed 1 fails\n"


def test_the_basic_launcher_works_too(app: App, tmp_path: Path) -> None:
    done = app("+recipe=ladder", "hydra/launcher=basic")
    assert done.returncode == 0
    folder = study_folder(tmp_path)
    assert json.loads((folder / "study.json").read_text())["missing"] == []
    assert n_processes(folder) == 1
