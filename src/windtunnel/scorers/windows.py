"""Losses of documents under a model that reads windows of a fixed length.

A document is cut into windows of as many predictions as the model makes; each begins with the last
token of the one before, and knows nothing else of it, as in training. Windows of many documents go
through the model together, those of like length side by side, so that little is padding.

Axes: B windows, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import IGNORE_INDEX

TOKENS_AT_ONCE = 8192


class Model(Protocol):
    """What `frozen.Frozen` is: gives -ln p of all tokens of rows [B, T] but their first."""

    @property
    def length(self) -> int: ...

    def nats(self, rows_BT: ndarray) -> ndarray: ...


def nats_of(model: Model, documents: Sequence[ndarray]) -> list[ndarray]:
    """-ln p of every token of each document but its first, in the order of `documents`."""
    found = [np.zeros(max(len(ids) - 1, 0)) for ids in documents]
    windows = [
        (min(model.length, len(ids) - 1 - first), i, first)
        for i, ids in enumerate(documents)
        for first in range(0, len(ids) - 1, model.length)
    ]
    windows.sort()
    while windows:
        longest = windows[-1][0]
        n_rows = max(TOKENS_AT_ONCE // longest, 1)
        chosen, windows = windows[-n_rows:], windows[:-n_rows]
        rows_BT = np.full((len(chosen), longest + 1), IGNORE_INDEX, np.int64)
        for row, (n, i, first) in zip(rows_BT, chosen, strict=True):
            row[: n + 1] = documents[i][first : first + n + 1]
        for nats, (n, i, first) in zip(model.nats(rows_BT), chosen, strict=True):
            found[i][first : first + n] = nats[:n]
    return found


def mean_nats(model: Model, documents: Sequence[ndarray]) -> ndarray:
    """Mean -ln p over the tokens of each document but its first [n]; nan where there is none."""
    return np.array([nats.mean() if len(nats) else np.nan for nats in nats_of(model, documents)])
