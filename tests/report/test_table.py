from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from windtunnel.report import table


def text(part: RenderableType) -> str:
    page = io.StringIO()
    Console(file=page, width=100).print(part)
    return page.getvalue()


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (999, "999"), (82_200, "82.2 k"), (6_311_000, "6.31 M"), (7e9, "7 B")],
)
def test_counts_read_well(value: float | None, words: str) -> None:
    assert table.count(value) == words


def test_numbers_and_shares_read_well() -> None:
    assert table.number(3.14159, 2) == "3.14"
    assert table.number(None, 2) == "-"
    assert table.percent(0.0027) == "+0.27 %"
    assert table.percent(None) == "-"


def test_a_table_holds_its_cells() -> None:
    shown = text(table.table("Title", ("job", "loss"), [("w32", "3.1"), ("w64", "2.9")]))
    assert all(word in shown for word in ("Title", "job", "loss", "w32", "2.9"))


def test_demands_are_lines_and_fits_are_columns() -> None:
    shown = text(table.checks({"all": {"small": True, "inside": False}, "one": {"inside": None}}))
    lines = shown.splitlines()
    assert next(line for line in lines if "small" in line).count("yes") == 1
    assert "NO" in next(line for line in lines if "inside" in line)
    assert text(table.checks({"all": {}})).strip() == ""


def test_outcomes_and_warnings_are_words() -> None:
    assert table.outcome({"outcome": "diverged", "outcome_step": 7}) == "diverged at step 7"
    assert table.outcome({"outcome": "finished"}) == "finished"
    assert "note: too short" in text(table.warnings(["too short"]))


def test_what_is_shown_is_also_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.show([Text("one"), Text("two", "bold")], tmp_path)
    assert capsys.readouterr().out.split() == ["one", "two"]
    assert (tmp_path / "table.txt").read_text() == "one\n\ntwo\n\n"
