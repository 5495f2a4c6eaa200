"""A random number for each document: the control of any score, and a way to split a store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages


class Uniform:
    """Numbers from 0 to 1, drawn for all documents at once, whichever of them are scored."""

    level = "document"
    columns = ("",)

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._drawn_N = np.zeros(0)

    def fit(self, passages: Passages) -> None:
        """Draws."""
        self._drawn_N = np.random.Generator(np.random.Philox(self._seed)).random(len(passages))

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        return self._drawn_N[[passage.number for passage in passages]][:, None]
