from __future__ import annotations

import os
from pathlib import Path

import pytest

from windtunnel.report.outputs import check_outputs, write_whole


def test_all_files_are_written(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.png"
    first.write_text("old")
    write_whole({first: b"new", second: b"\x89PNG"})
    assert first.read_text() == "new"
    assert second.read_bytes() == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.png"]


def test_one_that_cannot_be_written_leaves_all_as_they_were(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "gone" / "b.png"
    first.write_text("old")
    with pytest.raises(ValueError, match=r"b\.png.*: could not be written: No such file"):
        write_whole({first: b"new", second: b""})
    assert first.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_could_not_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_outputs([tmp_path / "a.json", Path("b.png")])
    with pytest.raises(ValueError, match="expected the name of a file; it is a folder"):
        check_outputs([tmp_path])
    with pytest.raises(ValueError, match="there is no folder"):
        check_outputs([tmp_path / "gone" / "a.json"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_outputs([tmp_path / "a.json"])
