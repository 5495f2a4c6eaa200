"""Windows of the token store, by number: for training and for evaluation.

Axes: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy import ndarray
from torch.utils.data import Dataset, Sampler

from windtunnel.data.held_out import Windows
from windtunnel.data.packing import START_DOMAINS, STARTS, TRAIN, held_out_name
from windtunnel.data.sampler import ShuffledRows
from windtunnel.data.store import Store, map_file
from windtunnel.interfaces import IGNORE_INDEX, Batch


class CountFrom(Sampler[int]):
    """first, first + step, first + 2 step, ... without end."""

    def __init__(self, first: int, step: int) -> None:
        self._first = first
        self._step = step

    def __iter__(self) -> Iterator[int]:
        k = self._first
        while True:
            yield k
            k += self._step


class TrainBatches(Dataset[Batch]):
    """Micro-batch k of the training stream; a window's domain is that of its first token."""

    def __init__(
        self, store: Store, sampler: ShuffledRows, length: int, *, document_mask: bool
    ) -> None:
        self._store = store
        self._sampler = sampler
        self._length = length
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        stream = self._store.stream(TRAIN)
        firsts = self._sampler.rows(k) * self._length
        rows = np.stack([stream[i : i + self._length + 1] for i in firsts]).astype(np.int64)
        starts = map_file(self._store.folder / STARTS, "int64")
        inside = np.searchsorted(starts, firsts, side="right") - 1
        domains = map_file(self._store.folder / START_DOMAINS, "uint16")[inside].astype(np.int64)
        return make_batch(rows, domains, self._store.meta["eot"], mask=self._document_mask)


class HeldOutBatches(Dataset[Batch]):
    """Batch k of the held-out windows, always of `n_batch` rows; spare rows score nothing."""

    def __init__(
        self, store: Store, windows: Windows, n_batch: int, length: int, *, document_mask: bool
    ) -> None:
        self._store = store
        self._windows = windows
        self._n_batch = n_batch
        self._length = length
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        rows = np.full((self._n_batch, self._length + 1), IGNORE_INDEX, np.int64)
        domains = np.zeros(self._n_batch, np.int64)
        here = slice(k * self._n_batch, (k + 1) * self._n_batch)
        chosen = zip(self._windows.domains[here], self._windows.starts[here], strict=True)
        for i, (domain, start) in enumerate(chosen):
            tokens = self._store.stream(held_out_name(domain))[start : start + self._length + 1]
            rows[i, : len(tokens)] = tokens
            domains[i] = domain
        return make_batch(rows, domains, self._store.meta["eot"], mask=self._document_mask)


def make_batch(rows: ndarray, domains: ndarray, eot: int | None, *, mask: bool) -> Batch:
    """Splits windows [B, T + 1] into inputs and targets; a separator begins its document."""
    tokens_BT = torch.from_numpy(np.maximum(rows[:, :-1], 0))
    targets_BT = torch.from_numpy(np.ascontiguousarray(rows[:, 1:]))
    documents_BT = None
    if mask:
        is_start = torch.zeros_like(tokens_BT) if eot is None else (tokens_BT == eot).long()
        documents_BT = is_start.cumsum(1)
    return Batch(tokens_BT, targets_BT, documents_BT, torch.from_numpy(domains))
