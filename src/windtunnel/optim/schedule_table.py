"""A learning-rate schedule from a table: a CSV file with the columns `tokens` and `multiplier`.

Between two rows the multiplier of the peak rate lies on a straight line. A job's folder is named by
the path of the table, not by what stands in it: give another table another name.
"""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy import ndarray

COLUMNS = ["tokens", "multiplier"]


class ScheduleTable:
    """Multiplier of the peak rate by interpolation; reads the table once."""

    def __init__(self, *, path: str) -> None:
        self.path = path
        self.tokens, self.multipliers = read(Path(path).expanduser())

    def __call__(self, tokens: float, total_tokens: float) -> float:
        if total_tokens > self.tokens[-1]:
            raise ValueError(
                f"schedule.path: {self.path} must reach to the end of training, and ends at "
                f"{self.tokens[-1]:g} of {total_tokens:g} tokens: add rows, or lower budget.tokens"
            )
        return float(np.interp(tokens, self.tokens, self.multipliers))


def read(path: Path) -> tuple[ndarray, ndarray]:
    """Tokens and multipliers of a table.

    Raises:
        ValueError: there is no such table, or it gives no schedule.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row]
        if [name.strip() for name in header] != COLUMNS:
            raise ValueError(f"its first line is {','.join(header)}")
        points = [tuple(float(number) for number in row) for row in rows]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"schedule.path: expected a CSV file whose first line is {','.join(COLUMNS)} and whose "
            f"other lines are two numbers each, got {path}: {error}"
        ) from error
    problem = what_is_wrong(points)
    if problem:
        raise ValueError(f"schedule.path: {path}: {problem}; correct the table")
    tokens, multipliers = zip(*points, strict=True)
    return np.array(tokens), np.array(multipliers)


def what_is_wrong(points: list[tuple[float, ...]]) -> str:
    """Why points make no schedule, or nothing."""
    if len(points) < 2 or any(len(point) != 2 for point in points):
        return f"expected two rows or more of two numbers each, got {len(points)} rows"
    tokens, multipliers = zip(*points, strict=True)
    if tokens[0] != 0 or any(b <= a for a, b in pairwise(tokens)):
        return "expected tokens that rise from 0"
    if not all(math.isfinite(m) and m >= 0 for m in multipliers):
        return "expected multipliers of 0 or more"
    return ""
