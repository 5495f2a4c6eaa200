from __future__ import annotations

import json
from pathlib import Path

from hydra_plugins.windtunnel_study_sweeper import _code


def test_the_digest_changes_with_any_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "notes.md").write_text("x")
    before = _code.sources_digest(tmp_path)
    (tmp_path / "notes.md").write_text("y")
    assert _code.sources_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    assert _code.sources_digest(tmp_path) != before


def test_changed_code_is_said_and_kept(tmp_path: Path) -> None:
    one, two = {"sources": "1", "commit": "a"}, {"sources": "2", "commit": "a"}
    assert _code.note(tmp_path, one)[1] == ""
    assert _code.note(tmp_path, one)[1] == ""
    history, said = _code.note(tmp_path, two)
    assert "(sources 1 -> 2); finished jobs are kept" in said
    assert [entry["sources"] for entry in history] == ["1", "2"]
    assert json.loads((tmp_path / _code.FILE).read_text()) == history


def test_the_code_is_that_of_the_package() -> None:
    assert set(_code.current()) >= {"sources", "commit", "dirty"}
