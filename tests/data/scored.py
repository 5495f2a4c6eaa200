"""Documents with score columns: a table in memory, and a small store, for tests of samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.data.made import made_store
from windtunnel.data import scores
from windtunnel.data.documents import Documents

N = 42


def columns(n: int) -> dict[str, np.ndarray]:
    """`quality` has ties, `wave` has none, `gaps` leaves out the odd documents."""
    numbers = np.arange(n)
    return {
        "quality": numbers * 7 % 5,
        "wave": np.sin(numbers),
        "gaps": np.where(numbers % 2, -np.inf, numbers % 9),
    }


class Table:
    """What selections and orders ask of documents, in memory."""

    domain_names = ("a", "b", "c")

    def __init__(self, n: int = N, **more: np.ndarray) -> None:
        self._lengths = 20 + np.arange(n) * 11 % 37
        self._columns = {**columns(n), **more}
        self.domains = (np.arange(n) * 5 % 7 % 3).astype(np.uint16)

    def __len__(self) -> int:
        return len(self._lengths)

    def n_tokens(self, numbers: np.ndarray) -> np.ndarray:
        return self._lengths[numbers]

    def score(self, name: str) -> np.ndarray:
        return self._columns[name].astype(np.float32)


def table(n: int = N, **more: np.ndarray) -> Any:
    """A table that passes for `Documents`."""
    return Table(n, **more)


def scored(cache: Path, **more: np.ndarray) -> Documents:
    """The documents of a store with these columns, and others."""
    documents = Documents(made_store(cache))
    for name, values in {**columns(len(documents)), **more}.items():
        scores.write(documents.store.folder, name, values, facts={"scorer": "made"})
    return documents
