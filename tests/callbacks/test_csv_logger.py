from __future__ import annotations

import csv
from pathlib import Path

import pytest

from windtunnel.callbacks import csv_logger
from windtunnel.callbacks.csv_logger import CsvLogger


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_new_columns_keep_old_rows_and_rows_of_a_step_are_joined(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path, seconds=0.0)
    logger.log_metrics({"a": 1.0}, 0)
    logger.save()
    logger.log_metrics({"a": 2.0}, 1)
    logger.log_metrics({"b": 3.0}, 1)
    logger.save()
    assert rows(tmp_path) == [
        {"step": "0", "a": "1.0", "b": ""},
        {"step": "1", "a": "2.0", "b": "3.0"},
    ]


def test_writes_no_more_often_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(csv_logger.time, "monotonic", lambda: now[0])
    logger = CsvLogger(tmp_path, seconds=1.0)
    for step in range(9):
        logger.log_metrics({"a": step}, step)
        logger.save()
        now[0] += 0.25
    assert len(rows(tmp_path)) == 9
    logger.log_metrics({"a": 9}, 9)
    logger.save()
    assert len(rows(tmp_path)) == 9
    logger.finalize("success")
    assert len(rows(tmp_path)) == 10


def test_resumed_job_replaces_what_it_does_again(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path, seconds=0.0)
    for step in range(6):
        logger.log_metrics({"a": step}, step)
    logger.finalize("failed")
    again = CsvLogger(tmp_path, seconds=0.0)
    again.log_metrics({"a": 30, "b": 1}, 3)
    again.log_metrics({"a": 40}, 4)
    again.finalize("success")
    assert [row["a"] for row in rows(tmp_path)] == ["0", "1", "2", "30", "40"]
    assert [row["b"] for row in rows(tmp_path)] == ["", "", "", "1", ""]


def test_row_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,a\n0,1.0\n1,2.0\n2")
    logger = CsvLogger(tmp_path, seconds=0.0)
    logger.log_metrics({"a": 5.0}, 2)
    logger.finalize("success")
    assert [row["a"] for row in rows(tmp_path)] == ["1.0", "2.0", "5.0"]
