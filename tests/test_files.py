from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from windtunnel import faults, files


def test_a_file_is_written_whole_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    files.write_whole(path, "é1")
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]
    assert path.read_text(encoding="utf-8") == "é1"


def test_what_lasts_is_flushed_with_its_folder_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(faults, "watch", seen.append)
    monkeypatch.setattr(files, "flush", lambda path: seen.append(f"flush {path.is_dir()}"))
    files.write_whole(tmp_path / "x", "1")
    assert seen == [
        "x.before_write",
        "x.during_write",
        "flush False",
        "x.before_rename",
        "x.after_rename",
        "flush True",
    ]
    seen.clear()
    files.write_whole(tmp_path / "x", "2", lasting=False)
    assert not any("flush" in name for name in seen)


def test_flushing_reaches_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    files.flush(tmp_path / "x")
    files.flush(tmp_path)


@pytest.mark.parametrize("place", ["before_write", "during_write", "before_rename"])
def test_a_refused_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "x"
    monkeypatch.setattr(faults, "watch", faults.Fault(f"x.{place}=ENOSPC"))
    said = f"could not write {path}: {os.strerror(errno.ENOSPC)}; there is none before it. Free"
    with pytest.raises(ValueError, match=said):
        files.write_whole(path, "1")
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    monkeypatch.setattr(faults, "watch", faults.Fault(f"x.{place}=EROFS"))
    with pytest.raises(ValueError, match="Read-only file system; what was there before is kept"):
        files.write_whole(path, "1")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "old")]


def test_an_error_that_torch_puts_in_front_is_looked_through(tmp_path: Path) -> None:
    def fail() -> None:
        try:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904

    with pytest.raises(ValueError, match="quota"), files.replacing(tmp_path / "x"):
        fail()
    with pytest.raises(ValueError, match="unexpected"), files.replacing(tmp_path / "x"):
        raise RuntimeError("unexpected pos 64 vs 0")


def test_what_killed_processes_left_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("a.json.12.part", "checkpoints/last.ckpt.12.part", "a.json", "job.part/x.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "job.part").rename(tmp_path / "job")
    files.sweep(tmp_path)
    kept = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert kept == ["a.json", "job/x.part"]
