from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made import made_record
from windtunnel import folder
from windtunnel.interfaces import Job, Record, Unreadable

ROOT = Path(__file__).parents[1]
HOLD = """
import sys, time
from pathlib import Path
from windtunnel.folder import locked
with locked(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    time.sleep(60)
"""
JOB = Job("w64-s1", "rung", {"model.width": 64, "seed": 1})


def seed_of(values) -> str:
    return str(values["seed"])


@pytest.fixture
def holder(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_in_use_is_refused_with_who_uses_it(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(ValueError, match=f"process {holder.pid} on .*fresh=true"),
        folder.locked(tmp_path, 0.0),
    ):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    with folder.locked(tmp_path, 5.0):
        assert "process" in (tmp_path / folder.LOCK).read_text()


@pytest.fixture(params=["disk", "system"])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    if request.param == "disk":
        monkeypatch.setattr(folder.fcntl, "lockf", refuse)
    else:
        monkeypatch.setattr(folder, "fcntl", None)


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("owner", "refused"),
    [
        ("process {own} on {host}", True),
        ("process {dead} on {host}", False),
        ("process {own} on another", True),
        ("", False),
        ("nonsense", False),
    ],
)
def test_without_locks_what_the_file_says_counts(tmp_path: Path, owner: str, refused: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    names = {"own": os.getpid(), "dead": process.pid, "host": socket.gethostname()}
    (tmp_path / folder.LOCK).write_text(owner.format(**names))
    if refused:
        said = rf"but {owner.format(**names)} does; .* remove {tmp_path / folder.LOCK}$"
        with pytest.raises(ValueError, match=said), folder.locked(tmp_path, 0.0):
            pass
        return
    with folder.locked(tmp_path, 0.0):
        assert (tmp_path / folder.LOCK).read_text() == "process {own} on {host}".format(**names)
    assert (tmp_path / folder.LOCK).read_text() == ""


def test_who_takes_a_folder_sweeps_up_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / "config.json.12.part").write_text("{")
    assert claim(tmp_path) is None
    assert not (tmp_path / "config.json.12.part").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("thesis.tex", "x"), ("config.json", "{half"), ("config.json", "[1]")]
)
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"it holds {name}; give paths.outputs"):
        claim(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, text)]


def test_a_folder_of_another_config_is_refused_with_what_differs(tmp_path: Path) -> None:
    there = {"seed": 1, "optim": {"lr": 0.1, "eps": 1}, "data": {}}
    (tmp_path / "config.json").write_text(json.dumps(there))
    wanted = {"seed": 2, "optim": {"lr": 0.2, "eps": 1}, "data": {}}
    with pytest.raises(ValueError, match=r"other values of seed, optim.lr; give fresh=true"):
        folder.refuse_other(tmp_path, wanted, seed_of)


def test_an_empty_folder_and_the_own_folder_pass(tmp_path: Path) -> None:
    folder.refuse_other(tmp_path / "new", {"seed": 1}, seed_of)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / folder.LOCK).touch()
    folder.refuse_other(tmp_path, {"seed": 1}, seed_of)
    (tmp_path / "config.json").write_text('{"seed": 1, "paths": 3}')
    (tmp_path / "checkpoints").mkdir()
    folder.refuse_other(tmp_path, {"seed": 1}, seed_of)


def claim(path: Path) -> Record | None:
    with folder.claimed(path, {"seed": 1}, seed_of) as record:
        return record


def test_a_claimed_folder_gives_its_record_once_the_job_is_done(tmp_path: Path) -> None:
    home = tmp_path / "job"
    assert claim(home) is None
    (home / "config.json").write_text('{"seed": 1}')
    made_record(JOB, 2.5, outcome="stopped").save(home)
    assert claim(home) is None
    made_record(JOB, 2.5).save(home)
    record = claim(home)
    assert record is not None
    assert folder.finished_loss(record) == 2.5


@pytest.mark.parametrize(("left", "kept"), [(".hydra", False), ("log.txt", True)])
def test_a_refused_job_leaves_a_folder_only_where_it_has_worked(
    tmp_path: Path, left: str, kept: bool
) -> None:
    home = tmp_path / "job"
    home.mkdir()
    (home / left).touch()
    with (
        pytest.raises(ValueError, match="no such corpus"),
        folder.claimed(home, {"seed": 1}, seed_of),
    ):
        raise ValueError("no such corpus")
    assert home.exists() is kept


def test_further_ranks_share_the_folder_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert claim(tmp_path) is None


def test_the_loss_of_a_diverged_job_is_nan() -> None:
    loss = folder.finished_loss(made_record(JOB, None))
    assert loss != loss


def test_finished_jobs_are_those_that_ended(tmp_path: Path) -> None:
    for name, loss, outcome in [("a", 2.0, "finished"), ("b", None, "diverged")]:
        (tmp_path / name).mkdir()
        made_record(JOB, loss, outcome=outcome).save(tmp_path / name)
    for name in ("c", "d"):
        (tmp_path / name).mkdir()
    made_record(JOB, 2.0, outcome="stopped").save(tmp_path / "c")
    assert list(folder.finished_jobs(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("text", ["", "{half", "[1]", '{"schema_version": 1}', '{"a": 1}', "\0"])
def test_a_record_that_cannot_be_read_is_named_and_skipped(tmp_path: Path, text: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made_record(JOB, 2.0).save(tmp_path / name)
    (tmp_path / "b" / "record.json").write_text(text)
    with pytest.warns(UserWarning, match=rf"^{tmp_path}/b/record\.json is damaged"):
        assert list(folder.finished_jobs(tmp_path)) == ["a"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokens", "many"),
        ("evaluation", {"loss_nats": None, "bits_per_byte": 1.0, "n_tokens": 1}),
        ("train_curve", {"tokens": [1, 2], "values": [1.0]}),
        ("config", None),
        ("schema_version", None),
    ],
)
def test_a_record_with_a_value_of_another_kind_is_unreadable(
    tmp_path: Path, key: str, value: object
) -> None:
    path = made_record(JOB, 2.0).save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(Unreadable, match="give the job's command again to write it anew"):
        Record.load(tmp_path)
