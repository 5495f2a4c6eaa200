"""Metrics as one CSV file in the job's folder, one row a logging step.

The file is appended to at most every so many seconds. A resumed job goes on in the same file: the
rows from its first step on, which it is about to do again, are dropped.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

STEP = "step"


class CsvLogger(Logger):
    """Writes `metrics.csv` into `folder`, at most every `seconds`."""

    def __init__(self, folder: Path, *, seconds: float) -> None:
        super().__init__()
        self.path, self.seconds = folder / "metrics.csv", seconds
        self._columns: list[str] | None = None
        self._rows: list[dict[str, Any]] = []
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
        if self._rows and self._rows[-1][STEP] == step:
            self._rows[-1].update(metrics)
        else:
            self._rows.append({STEP: step, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Writes what is kept, if the last writing is long enough ago."""
        if time.monotonic() - self._written_at >= self.seconds:
            self._write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is kept."""
        self._write()

    def _open(self, step: int) -> None:
        rows: list[dict[str, Any]] = []
        self._columns = [STEP]
        if self.path.is_file():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                rows = [row for row in reader if row.get(STEP) and int(row[STEP]) < step]
                self._columns = list(reader.fieldnames or [STEP])
        self._rewrite(rows)

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if not self._rows or self._columns is None:
            return
        new = [k for row in self._rows for k in row if k not in self._columns]
        if new:
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            self._columns += dict.fromkeys(new)
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerows(self._rows)
        self._rows = []

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        assert self._columns is not None
        part = self.path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(self.path)
