"""An order by score whose rows are shuffled among neighbours.

Rows in plain score order come document after document, so that all the rows of a batch are of one
long document, which harms training whatever the score. Here the rows of a group, laid out by score,
are cut into `blocks` of equal length; blocks come in turn, and the rows of a block in a random
order of their own in every pass. One block is a plain shuffle of the same rows, the control that
differs in nothing but the order.
Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents
from windtunnel.data.order import by_score
from windtunnel.data.sampler import permute, round_keys


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """By score, in `blocks` that are shuffled."""

    score: str
    descending: bool
    blocks: int

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(
                f"sampler.order.blocks: expected at least 1, got {self.blocks}; 1 only shuffles"
            )

    def lay(self, documents: Documents, group: ndarray) -> ndarray:
        return by_score(documents, group, self.score, descending=self.descending)

    def rows(self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]) -> ndarray:
        epochs, places = np.divmod(visits, n_rows)
        blocks = places * self.blocks // n_rows
        rows = np.empty_like(places)
        for epoch, block in np.unique(np.stack([epochs, blocks]), axis=1).T.tolist():
            here = (epochs == epoch) & (blocks == block)
            first, end = (-(-n_rows * i // self.blocks) for i in (block, block + 1))
            keys = round_keys(seed[0], (seed[1] << 40) + epoch * self.blocks + block)
            rows[here] = first + permute(places[here] - first, end - first, keys)
        return rows
