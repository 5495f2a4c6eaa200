"""Training batches of documents in rows of their own: packed as `data.best_fit` lays them out.

A token's target is the next one of its document, and the last one's the separator. What is left of
a row is not scored. Padding counts as tokens of the budget.

Axes: B batch, T time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch.utils.data import Dataset

from windtunnel.data.best_fit import Rows, pack
from windtunnel.data.documents import Documents
from windtunnel.data.sampler import ShuffledRows
from windtunnel.data.store import Store
from windtunnel.interfaces import IGNORE_INDEX, Batch


class BestFit:
    """Rows of a store's training documents."""

    def __init__(self, store: Store, length: int) -> None:
        if store.meta["eot"] is None:
            raise ValueError(
                "packing: expected text, whose documents have separators, got a source of token "
                "ids; set packing=null"
            )
        self.length = length
        self._documents = documents = Documents(store)
        n_tokens = documents.n_tokens(np.arange(len(documents)))
        self.rows: Rows = pack(documents.firsts, n_tokens, length)
        self.n_rows = len(self.rows.offsets) - 1
        self._n_cut = int((n_tokens > length).sum())

    def pieces(self, row: int) -> list[tuple[int, int]]:
        """First token and number of tokens of what a row holds."""
        rows = self.rows
        own = rows.pieces[rows.offsets[row] : rows.offsets[row + 1]]
        return list(zip(rows.starts[own].tolist(), rows.lengths[own].tolist(), strict=True))

    def fill(self, row: int) -> tuple[ndarray, ndarray, ndarray, int]:
        """Tokens, targets and documents of a row [length], and the domain that it begins in."""
        tokens, documents = np.zeros((2, self.length), np.int64)
        targets = np.full(self.length, IGNORE_INDEX, np.int64)
        stream, place, pieces = self._documents.stream, 0, self.pieces(row)
        for number, (start, n) in enumerate(pieces):
            here = slice(place, place + n)
            tokens[here], targets[here] = stream[start : start + n], stream[start + 1 :][:n]
            documents[here], place = number, place + n
        documents[place:] = len(pieces)
        first = np.searchsorted(self._documents.firsts, pieces[0][0], side="right") - 1
        return tokens, targets, documents, int(self._documents.domains[first])

    def facts(self) -> dict[str, Any]:
        """What the record says: rows, the share that is padding, and how many documents are cut."""
        n_tokens = int(self.rows.lengths.sum())
        return {
            "rows": self.n_rows,
            "padding": 1 - n_tokens / (self.n_rows * self.length),
            "documents": len(self._documents),
            "documents_cut": self._n_cut,
            "documents_cut_by_windows": self._cut_by_windows(),
        }

    def _cut_by_windows(self) -> int:
        """Documents that a border between the windows of the plain stream cuts."""
        documents = self._documents
        last = documents.firsts + documents.n_tokens(np.arange(len(documents))) - 1
        return int((documents.firsts // self.length != last // self.length).sum())


class PackedBatches(Dataset[Batch]):
    """This device's share of micro-batch k; rows in another order in every pass."""

    def __init__(
        self, rows: BestFit, sampler: ShuffledRows, own: slice, *, document_mask: bool
    ) -> None:
        self._rows, self._sampler, self._own = rows, sampler, own
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        filled = [self._rows.fill(int(row)) for row in self._sampler.rows(k)[self._own]]
        tokens_BT, targets_BT, documents_BT, domains_B = (
            torch.from_numpy(np.array(column)) for column in zip(*filled, strict=True)
        )
        return Batch(
            tokens_BT, targets_BT, documents_BT if self._document_mask else None, domains_B
        )
