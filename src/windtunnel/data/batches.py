"""Windows of the token store, by number: for training and for evaluation.

Axes: B batch, T time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from windtunnel.data.composed import ComposedSampler
from windtunnel.data.held_out import Windows
from windtunnel.data.packing import START_DOMAINS, STARTS, TRAIN, held_out_name
from windtunnel.data.sampler import ShuffledRows
from windtunnel.data.store import Store, map_file
from windtunnel.interfaces import IGNORE_INDEX, Batch


class CountFrom(Sampler[int]):
    """first, first + 1, first + 2, ... without end."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def share(n_rows: int, rank: int, n_ranks: int) -> slice:
    """The rows of a micro-batch of `n_rows` that the device of a rank takes.

    Raises:
        ValueError: the devices cannot share the rows evenly.
    """
    each, left = divmod(n_rows, n_ranks)
    if left:
        raise ValueError(
            f"batch.sequences / batch.accumulate must be a multiple of the {n_ranks} devices of a "
            f"job, got {n_rows}: change batch.sequences or trainer.devices"
        )
    return slice(rank * each, (rank + 1) * each)


class TrainBatches(Dataset[Batch]):
    """This device's share of micro-batch k; a window's domain is that of its first token."""

    def __init__(
        self,
        store: Store,
        sampler: ShuffledRows,
        length: int,
        own: slice,
        *,
        document_mask: bool,
    ) -> None:
        self._store = store
        self._sampler = sampler
        self._length = length
        self._own = own
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        stream = self._store.stream(TRAIN)
        firsts = self._sampler.rows(k)[self._own] * self._length
        rows = np.stack([stream[i : i + self._length + 1] for i in firsts]).astype(np.int64)
        starts = map_file(self._store.folder / STARTS, "int64")
        inside = np.searchsorted(starts, firsts, side="right") - 1
        domains = map_file(self._store.folder / START_DOMAINS, "uint16")[inside].astype(np.int64)
        return make_batch(rows, domains, self._store.meta["eot"], mask=self._document_mask)


class ComposedBatches(Dataset[Batch]):
    """The same of a composed sampler."""

    def __init__(
        self, sampler: ComposedSampler, eot: int | None, own: slice, *, document_mask: bool
    ) -> None:
        self._sampler = sampler
        self._eot = eot
        self._own = own
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        windows = [self._sampler.window(int(row)) for row in self._sampler.rows(k)[self._own]]
        rows = np.stack([tokens for tokens, _ in windows])
        domains = np.array([domain for _, domain in windows])
        batch = make_batch(rows, domains, self._eot, mask=self._document_mask)
        lengths = self._sampler.lengths(k)
        return batch if lengths is None else cut(batch, torch.from_numpy(lengths[self._own]))


class HeldOutBatches(Dataset[Batch]):
    """This device's share of batch k of `n_batch` held-out windows; spare rows score nothing."""

    def __init__(
        self,
        store: Store,
        windows: Windows,
        n_batch: int,
        length: int,
        own: slice,
        *,
        document_mask: bool,
    ) -> None:
        self._store = store
        self._windows = windows
        self._n_batch = n_batch
        self._length = length
        self._own = own
        self._document_mask = document_mask

    def __getitem__(self, k: int) -> Batch:
        n_rows, first = self._own.stop - self._own.start, k * self._n_batch
        rows = np.full((n_rows, self._length + 1), IGNORE_INDEX, np.int64)
        domains = np.zeros(n_rows, np.int64)
        here = slice(first + self._own.start, first + self._own.stop)
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


def cut(batch: Batch, lengths_B: Tensor) -> Batch:
    """Cuts windows into pieces of so many tokens: nothing attends across their borders."""
    places_T = torch.arange(batch.tokens_BT.shape[1])
    pieces_BT = (places_T % lengths_B[:, None] == 0).long().cumsum(1) - 1
    documents_BT = pieces_BT if batch.documents_BT is None else batch.documents_BT + pieces_BT
    return batch._replace(documents_BT=documents_BT)
