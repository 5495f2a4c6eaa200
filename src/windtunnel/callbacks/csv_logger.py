"""Metrics as one CSV file in the job's folder, one row a logging step.

The file is appended to at most every so many seconds, and before a checkpoint is taken. A resumed
job goes on in the same file: the rows from its first step on, which it is about to do again, are
dropped, and so is a row that a killed process has left half written.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from windtunnel.faults import point
from windtunnel.files import explain, write_whole

STEP = "step"


class CsvLogger(Logger):
    """Writes `metrics.csv` into `folder`, at most every `seconds`."""

    def __init__(self, folder: Path, *, seconds: float) -> None:
        super().__init__()
        self.path, self.seconds = folder / "metrics.csv", seconds
        self._columns: list[str] | None = None
        self._rows: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}  # the last row in the file
        self._written_at = 0.0

    @property
    def name(self) -> str:
        """Name of this logger."""
        return "csv"

    @property
    def version(self) -> str:
        """Empty: a job's folder holds one run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The job's folder."""
        return str(self.path.parent)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the configuration stands in `config.json`."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keeps a row, and writes when it is time; rows of one step are joined."""
        if self._columns is None:
            self._open(0 if step is None else step)
        row = self._rows[-1] if self._rows else self._last
        if row.get(STEP) != step:
            self._rows.append({STEP: step, **metrics})
        elif self._rows:
            row.update(metrics)
        elif any(row.get(name) != value for name, value in metrics.items()):
            self._rows.append({**row, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Writes what is kept, if the last writing is long enough ago."""
        if time.monotonic() - self._written_at >= self.seconds:
            self.write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is kept."""
        self.write()

    def write(self) -> None:
        """Writes what is kept.

        Raises:
            ValueError: the disk is full, or the file may not be written.
        """
        self._written_at = time.monotonic()
        if not self._rows or self._columns is None:
            return
        new = [k for row in self._rows for k in row if k not in self._columns]
        is_joined = self._rows[0][STEP] == self._last.get(STEP)
        if new or is_joined:
            self._columns += dict.fromkeys(new)
            rows = read_rows(self.path)
            self._rewrite([*(rows[:-1] if is_joined else rows), *self._rows])
        else:
            self._append()
        self._last, self._rows = self._rows[-1], []

    def _open(self, step: int) -> None:
        rows = [row for row in read_rows(self.path) if int(row[STEP]) <= step]
        self._columns = list(rows[0]) if rows else [STEP]
        self._rewrite(rows)
        if rows:
            self._last = {**rows[-1], STEP: int(rows[-1][STEP])}

    def _append(self) -> None:
        assert self._columns is not None
        n_bytes = self.path.stat().st_size
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(as_text(self._rows, self._columns))
                point(f"{self.path.name}.during_append")
        except OSError as error:
            os.truncate(self.path, n_bytes)
            raise ValueError(explain(self.path, error)) from error

    def _rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        assert self._columns is not None
        header = {name: name for name in self._columns}
        write_whole(self.path, as_text([header, *rows], self._columns))


def as_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as lines of a CSV."""
    text = io.StringIO()
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a file, none where there is no file; what is no row is left out."""
    if not path.is_file():
        return []
    lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True)
    header, *rows = list(csv.reader(line for line in lines if line.endswith("\n"))) or [[]]
    kept = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    return [row for row in kept if row.get(STEP, "").isdecimal()]
