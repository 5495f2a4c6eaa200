"""Scores of a document by its text alone: its length, or any function of the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages

Unit = Literal["tokens", "bytes", "characters"]


class OfText:
    """What `measure` finds in the text of a document."""

    level = "document"
    columns = ("",)

    def __init__(self, *, measure: Callable[[str], float]) -> None:
        self._measure = measure

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        return np.array([[self._measure(passage.text)] for passage in passages])


class Length:
    """How long a document is, without separators."""

    level = "document"
    columns = ("",)

    def __init__(self, *, unit: Unit) -> None:
        if unit not in ("tokens", "bytes", "characters"):
            raise ValueError(
                f"scorer.unit: expected tokens, bytes or characters, got {unit!r}; choose one"
            )
        self._unit = unit

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Lengths [n, 1]."""
        return np.array([[self._length(passage)] for passage in passages], float)

    def _length(self, passage: Passage) -> int:
        if self._unit == "tokens":
            return len(passage.own)
        return len(passage.text.encode() if self._unit == "bytes" else passage.text)
