"""A disk that refuses half-way: the error says so, the last good state stays, the job goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.jobs import composed, corpus, differences, left, watching, work
from windtunnel.checkpoint import find
from windtunnel.interfaces import Record


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("disk") / "text")


@pytest.fixture(scope="module")
def cfg(text: Path) -> Any:
    return composed(text)


@pytest.fixture(scope="module")
def whole(text: Path, cfg: Any) -> Any:
    work(cfg, text.parent / "whole")
    return left(text.parent / "whole")


def once(point: str, number: int, do: Callable[[], Any]) -> Callable[[str], None]:
    """Calls `do` when the point is passed for that time."""
    passes = [0]

    def watch(name: str) -> None:
        passes[0] += name == point
        if name == point and passes[0] == number:
            do()

    return watch


def refuse(code: int) -> Callable[[], None]:
    def do() -> None:
        raise OSError(code, os.strerror(code))

    return do


@pytest.mark.parametrize(
    ("point", "number", "code"),
    [
        ("config.json.during_write", 1, errno.ENOSPC),
        ("choices.json.before_rename", 1, errno.EDQUOT),
        ("progress.json.during_write", 2, errno.ENOSPC),
        ("metrics.csv.during_append", 2, errno.ENOSPC),
        ("last.ckpt.during_write", 3, errno.ENOSPC),
        ("last.ckpt.before_rename", 3, errno.EROFS),
        ("record.json.during_write", 1, errno.ENOSPC),
    ],
)
def test_a_refused_write_is_said_and_the_job_goes_on_later(
    cfg: Any, whole: Any, tmp_path: Path, point: str, number: int, code: int
) -> None:
    home = tmp_path / "job"
    file = point.rsplit(".", 1)[0]
    with (
        watching(once(point, number, refuse(code))),
        pytest.raises(ValueError, match=rf"could not write .*{file}: {os.strerror(code)}; "),
    ):
        work(cfg, home)
    assert not list(home.rglob("*.part"))
    if number == 3:
        assert find(home) is not None
        assert Record.load(home).outcome == "stopped"
    work(cfg, home)
    assert differences(whole, left(home)) == []


def test_a_disk_that_stays_full_shows_the_first_error(
    cfg: Any, whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, full = tmp_path / "job", []

    def watch(name: str) -> None:
        full.extend([name] if name == "last.ckpt.during_write" else [])
        if len(full) >= 3 and "during" in name:
            refuse(errno.ENOSPC)()

    with (
        watching(watch),
        pytest.raises(ValueError, match=r"could not write .*last\.ckpt: No space"),
    ):
        work(cfg, home)
    assert "record.json: No space left" in caplog.text
    work(cfg, home)
    assert differences(whole, left(home)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_becomes_read_only_is_said(cfg: Any, whole: Any, tmp_path: Path) -> None:
    home = tmp_path / "job"
    checkpoints = home / "checkpoints"
    with (
        watching(once("step", 3, lambda: checkpoints.chmod(0o500))),
        pytest.raises(ValueError, match=r"could not write .*last\.ckpt: Permission denied"),
    ):
        work(cfg, home)
    checkpoints.chmod(0o700)
    work(cfg, home)
    assert differences(whole, left(home)) == []


def test_a_token_store_that_vanishes_while_it_is_read_changes_nothing(
    cfg: Any, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(cache))
    with watching(once("step", 2, lambda: shutil.rmtree(cache / "stores"))):
        work(cfg, tmp_path / "job")
    assert not (cache / "stores").exists()
    found = left(tmp_path / "job")
    found["record"]["data"]["path"] = whole["record"]["data"]["path"]  # the first that had the text
    assert differences(whole, found) == []


def test_a_corpus_that_vanished_is_said_and_the_checkpoint_stays(
    text: Path, tmp_path: Path, whole: Any
) -> None:
    moved, home = tmp_path / "text", tmp_path / "job"
    shutil.copytree(text, moved)
    cfg = composed(moved)

    def vanish() -> None:
        shutil.move(moved, tmp_path / "away")
        raise KeyboardInterrupt

    with watching(once("step", 3, vanish)), pytest.raises(SystemExit):
        work(cfg, home)
    with pytest.raises(ValueError, match=r"data\.path: expected a file or a folder, got"):
        work(cfg, home)
    assert find(home) is not None
    shutil.move(tmp_path / "away", moved)
    work(cfg, home)
    assert Record.load(home).outcome == "finished"
    assert Record.load(home).evaluation is not None
