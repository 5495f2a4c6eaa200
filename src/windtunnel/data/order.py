"""Orders: how a group's documents are laid out, and which row of them comes when.

Every order lays the documents of a group out once, and then says which of the group's rows the
k-th visit to it takes. Documents with equal scores keep the order of the store, which is that of
their hashes. A score of -inf leaves a document out.
Source: sorted, Bengio et al. 2009, "Curriculum learning"; paced draws, Platanios et al. 2019, arXiv
1903.09848, algorithm 1 (with rows of equal length in place of sentences, so the share available is
one of tokens); folding, the DELT study, arXiv 2506.21545, from memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents
from windtunnel.data.sampler import permute, round_keys, scatter


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """Rows in an order of their own in every pass; the layout is that of the store."""

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        return group

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        epochs, places = np.divmod(visits, n_rows)
        rows = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            keys = round_keys(seed[0], (seed[1] << 40) + int(epoch))
            rows[here] = permute(places[here], n_rows, keys)
        return rows


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """By score, from the first row to the last and again."""

    score: str
    descending: bool

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        return by_score(documents, group, self.score, descending=self.descending)

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        return visits % n_rows


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Sorted, then cut by stride into `folds` that each run from the first to the last score."""

    score: str
    descending: bool
    folds: int

    def __post_init__(self) -> None:
        _check_count("sampler.order.folds", self.folds)

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        laid = by_score(documents, group, self.score, descending=self.descending)
        return np.concatenate([laid[fold :: self.folds] for fold in range(self.folds)])

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        return visits % n_rows


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Sorted, cut into `bands` of neighbouring scores, then one document of each band by turns."""

    score: str
    descending: bool
    bands: int

    def __post_init__(self) -> None:
        _check_count("sampler.order.bands", self.bands)

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        laid = by_score(documents, group, self.score, descending=self.descending)
        bands = np.array_split(laid, self.bands)
        places = np.concatenate([np.arange(len(band)) for band in bands])
        return laid[np.argsort(places, kind="stable")]

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        return visits % n_rows


@dataclass(frozen=True, kw_only=True)
class Paced:
    """Drawn evenly, with replacement, from the first rows by score, of which `pacing` says how
    large a share is available at a share of the budget."""

    score: str
    descending: bool
    pacing: Callable[[float], float]

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        return by_score(documents, group, self.score, descending=self.descending)

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        available = np.ceil([self.pacing(share) * n_rows for share in shares]).astype(np.uint64)
        draws = scatter(visits, round_keys(seed[0], seed[1] << 40))
        return (draws % np.maximum(available, 1)).astype(np.int64)


def by_score(documents: Documents, group: ndarray, score: str, *, descending: bool) -> ndarray:
    """A group's documents by score; without those of -inf."""
    values = documents.score(score)[group]
    group, values = group[values > -np.inf], values[values > -np.inf]
    return group[np.argsort(-values if descending else values, kind="stable")]


def _check_count(setting: str, count: int) -> None:
    if count < 1:
        raise ValueError(f"{setting}: expected at least 1, got {count}; 1 only sorts")
