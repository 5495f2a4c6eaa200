"""Runs that were trained differently are refused, unless the law sees the difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.scaling.comparable import check_comparable
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.table import Table, read_table


def table(folder: Path, column: str, values: list[str]) -> Table:
    path = folder / "runs.csv"
    path.write_text("\n".join([f"N,{column}", *(f"1,{value}" for value in values)]))
    return read_table(path)


@pytest.mark.parametrize("column", ["schedule", "lr_schedule", "config/lr_scheduler_type"])
def test_mixed_schedules(tmp_path: Path, column: str) -> None:
    mixed = table(tmp_path, column, ["wsd", "cosine", "wsd"])
    for law in ("chinchilla", "power_law"):
        with pytest.raises(ValueError, match=rf"{column}: the table mixes learning-rate.*2: cosin"):
            check_comparable(mixed, by_name(law), {"N"})
    check_comparable(mixed, by_name("lr_annealing"), {"N"})
    check_comparable(table(tmp_path, column, ["wsd"] * 3), by_name("chinchilla"), {"N"})


@pytest.mark.parametrize(
    "column", ["step", "steps", "trainer/global_step", "_step", "D_tokens", "tokens", "max_steps"]
)
def test_mixed_lengths(tmp_path: Path, column: str) -> None:
    mixed = table(tmp_path, column, ["10", "20", "30", "40", "50"])
    with pytest.raises(
        ValueError, match=r"mixes lengths of training \(5: 10, 20, 30, 40, \.\.\.\)"
    ):
        check_comparable(mixed, by_name("power_law"), {"N"})
    for law in ("chinchilla", "power_law:D", "power_law:C"):
        check_comparable(mixed, by_name(law), {"N"})
    check_comparable(mixed, by_name("power_law"), {"N", column})
    check_comparable(table(tmp_path, column, ["10", "10"]), by_name("power_law"), {"N"})


def test_other_columns_may_vary(tmp_path: Path) -> None:
    varied = table(tmp_path, "width", ["1", "2", "3"])
    check_comparable(varied, by_name("power_law"), {"N"})
