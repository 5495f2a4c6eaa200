from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.optim.schedule_table import ScheduleTable

GOOD = "tokens,multiplier\n0,0\n100,1\n\n900,1\n1000,0.1\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "rates.csv"


def test_between_rows_lies_a_straight_line(table: Path) -> None:
    table.write_text(GOOD)
    schedule = ScheduleTable(path=str(table))
    values = [schedule(t, 1000) for t in (0, 25, 100, 500, 950, 1000)]
    assert values == pytest.approx([0, 0.25, 1, 1, 0.55, 0.1])


def test_a_table_that_ends_before_training_is_refused(table: Path) -> None:
    table.write_text(GOOD)
    with pytest.raises(ValueError, match="must reach to the end of training, and ends at 1000 of"):
        ScheduleTable(path=str(table))(0, 1001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("", "expected a CSV file whose first line is tokens,multiplier"),
        ("step,lr\n0,1\n1,1\n", "its first line is step,lr"),
        ("tokens,multiplier\n0,1\n1,one\n", "could not convert string to float"),
        ("tokens,multiplier\n0,1\n", "expected two rows or more"),
        ("tokens,multiplier\n0,1\n5\n", "expected two rows or more of two numbers"),
        ("tokens,multiplier\n5,1\n9,1\n", "expected tokens that rise from 0"),
        ("tokens,multiplier\n0,1\n9,1\n9,0\n", "expected tokens that rise from 0"),
        ("tokens,multiplier\n0,1\n9,-0.1\n", "expected multipliers of 0 or more"),
        ("tokens,multiplier\n0,1\n9,nan\n", "expected multipliers of 0 or more"),
    ],
)
def test_a_table_that_is_no_schedule_is_refused(table: Path, text, message) -> None:
    if text is not None:
        table.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        ScheduleTable(path=str(table))
    assert "schedule.path" in str(error.value)
