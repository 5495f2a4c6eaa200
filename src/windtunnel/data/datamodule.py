"""Batches of packed windows for training and evaluation.

Training batch k is a function of (seed, k) alone, so any model sees the same tokens in the same
order, with any number of loader processes and devices, which share each batch, and a run resumes
where it stopped: the only state is the number of batches consumed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy import ndarray
from torch.utils.data import DataLoader, Dataset

from windtunnel.data.batches import (
    ComposedBatches,
    CountFrom,
    HeldOutBatches,
    TrainBatches,
    share,
)
from windtunnel.data.cleaning.cleaning import Cleaning
from windtunnel.data.composed import ComposedSampler, Setting
from windtunnel.data.held_out import Windows, choose_windows
from windtunnel.data.masked_inputs import MaskedBatches, MaskedInputs
from windtunnel.data.packed import BestFit, PackedBatches
from windtunnel.data.packing import TRAIN, Progress, held_out_name
from windtunnel.data.sampler import ShuffledRows
from windtunnel.data.source import Source
from windtunnel.data.store import Store, open_store
from windtunnel.data.tokenizer import Tokenizer, TokenizerSpec
from windtunnel.interfaces import Batch


class TokenDataModule(L.LightningDataModule):
    """Builds or opens the token store, and loads windows of it.

    sequences: windows per micro-batch, over all devices. accumulate: micro-batches per optimiser
    step. eval_tokens: held-out predictions to score. held_out: fraction of documents held out.
    workers: loader processes. document_mask: give each token the index of its document. sampler:
    what selects, orders and mixes documents; without one all windows are shuffled. n_sequences: of
    the whole budget. packing: lays documents into rows; without it windows are cut from the stream.
    transform: what training, and not evaluation, does to a batch.
    """

    def __init__(
        self,
        *,
        source: Source,
        tokenizer: TokenizerSpec,
        sequences: int,
        length: int,
        seed: int,
        accumulate: int,
        eval_tokens: int,
        held_out: float,
        cache: Path,
        workers: int,
        document_mask: bool,
        sampler: Callable[[Setting], ComposedSampler] | None,
        n_sequences: int,
        cleaning: Cleaning | None,
        packing: Callable[[Store, int], BestFit] | None,
        transform: MaskedInputs | None,
    ) -> None:
        super().__init__()
        _check(held_out=held_out, eval_tokens=eval_tokens, length=length, sequences=sequences)
        self._source = source
        self._cleaning = cleaning
        self._spec = tokenizer
        self._sequences = sequences
        self._length = length
        self._seed = seed
        self._accumulate = accumulate
        self._wanted = eval_tokens
        self._held_out = held_out
        self._cache = Path(cache).expanduser()
        self._workers = workers
        self._document_mask = document_mask
        self._make_sampler = sampler
        self._n_sequences = n_sequences
        self._composed: ComposedSampler | None = None
        self._pack, self._transform = packing, transform
        self._packed: BestFit | None = None
        self._takes_any_order = False
        self._start = 0
        self._store: Store | None = None

    def build(self, progress: Progress | None) -> None:
        """Builds or opens the store, checks that it can fill a window, and orders the data."""
        if self._store is not None:
            return
        store = open_store(
            self._source,
            self._spec,
            held_out=self._held_out,
            cache=self._cache,
            progress=progress,
            cleaning=self._cleaning,
        )
        _check_filled(store, self._length, self._held_out)
        if self._make_sampler is not None:
            sizes = (self._length, self._sequences, self._n_sequences)
            self._composed = self._make_sampler(Setting(store, *sizes, self._seed))
        if self._pack is not None:
            _check_packing(self._composed)
            self._packed = self._pack(store, self._length)
        self._store = store

    def setup(self, stage: str | None = None) -> None:
        """Opens the store in every process."""
        self.build(None)

    @property
    def store(self) -> Store:
        """The token store, once built."""
        if self._store is None:
            self.build(None)
        assert self._store is not None
        return self._store

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens."""
        return self.store.tokenizer

    @property
    def vocab_size(self) -> int:
        """Number of token ids, those included that a transform adds."""
        added = 0 if self._transform is None else self._transform.n_ids
        return self.store.meta["vocab_size"] + added

    @property
    def domains(self) -> list[str]:
        """Names of the domains; `Batch.domains_B` counts in this order."""
        return [domain.name for domain in self.store.domains]

    @property
    def train_tokens(self) -> int:
        """Length of the training stream: beyond it, tokens are seen again."""
        return len(self.store.stream(TRAIN))

    @property
    def eval_tokens(self) -> int:
        """Held-out predictions that are scored."""
        return int(self._scored[0].sum())

    @property
    def bytes_per_token(self) -> dict[str, float]:
        """Bytes of text per scored token, by domain; 0 where there is no text."""
        tokens, n_bytes = self._scored
        return dict(zip(self.domains, (n_bytes / np.maximum(tokens, 1)).tolist(), strict=True))

    @property
    def overall_bytes_per_token(self) -> float:
        """Bytes of text per scored token."""
        tokens, n_bytes = self._scored
        return float(n_bytes.sum() / tokens.sum())

    @property
    def digests(self) -> dict[str, Any]:
        """What the record says about the data."""
        meta = self.store.meta
        names = ("source", "tokenizer", "store", "n_documents", "n_replaced")
        return {
            **{name: meta[name] for name in names},
            **meta["facts"],
            "vocab_size": self.vocab_size,
            "train_tokens": self.train_tokens,
            "eval_tokens": self.eval_tokens,
            "bytes_per_token": self.overall_bytes_per_token,
            "domains": {
                values["name"]: {k: v for k, v in values.items() if k != "name"}
                for values in meta["domains"]
            },
            **({} if self._composed is None else {"sampler": self._composed.facts()}),
            **({} if self._packed is None else {"packing": self._packed.facts()}),
        }

    def repeats(self, tokens: int) -> list[str]:
        """What training on so many tokens shows more than once."""
        if self._composed is not None:
            return self._composed.warnings
        epochs = tokens / self.train_tokens
        there = f"there are {self.train_tokens} tokens"
        return [f"the text is seen {epochs:.1f} times over: {there}"] if epochs > 1 else []

    @cached_property
    def _windows(self) -> Windows:
        counts = [len(self._held_out_stream(i)) for i in range(len(self.domains))]
        return choose_windows(counts, self._wanted, self._length)

    @cached_property
    def _scored(self) -> tuple[ndarray, ndarray]:
        """Tokens and bytes scored in each domain."""
        tokens = np.zeros(len(self.domains), np.int64)
        n_bytes = np.zeros(len(self.domains))
        lengths = self.tokenizer.byte_lengths
        for domain, start in zip(*self._windows, strict=True):
            targets = self._held_out_stream(domain)[start + 1 : start + 1 + self._length]
            tokens[domain] += len(targets)
            if lengths is not None:
                n_bytes[domain] += lengths[targets].sum()
        if lengths is None:
            kept = self.store.domains
            n_bytes = tokens * [d.held_out_bytes / max(d.held_out_tokens, 1) for d in kept]
        return tokens, n_bytes

    def _held_out_stream(self, domain: int) -> ndarray:
        return self.store.stream(held_out_name(domain))

    def set_start(self, batches: int) -> None:
        """The next training loader starts after so many micro-batches."""
        self._start = batches

    def take_any_order(self) -> None:
        """The checkpoint that will be loaded is another job's: only its place is taken over."""
        self._takes_any_order = True

    def state_dict(self) -> dict[str, Any]:
        """How many micro-batches the optimiser steps so far have consumed, and of which order."""
        steps = self.trainer.global_step if self.trainer else 0
        return {"batches": steps * self._accumulate, "seed": self._seed, "order": self._order}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint was written.

        Raises:
            ValueError: the data, or what orders them, are not those of the checkpoint.
        """
        for key, own in (("seed", self._seed), ("order", self._order)):
            if state_dict.get(key, own) != own and not self._takes_any_order:
                raise ValueError(
                    f"the data's {key}: expected {state_dict[key]} of the checkpoint, got {own}; "
                    "the text, a score or the sampler has changed since, so the run cannot go on: "
                    "bring it back, or begin anew with fresh=true"
                )
        self.set_start(state_dict["batches"])

    @property
    def _order(self) -> str:
        """Digest of what decides which tokens a batch holds, besides its seed and number."""
        store = self.store
        if self._composed is not None:
            return self._composed.digest
        packed = "" if self._packed is None else " packed"
        return f"{store.meta['store']} {self._length}{packed}"

    def train_dataloader(self) -> DataLoader:
        """Training batches without end."""
        batches = self._train_batches()
        if self._transform is not None:
            mask, own = self.store.meta["vocab_size"], self._share()
            batches = MaskedBatches(batches, self._transform, mask, self._sequences, own)
        return self._load(batches, CountFrom(self._start))

    def _train_batches(self) -> Dataset[Batch]:
        store, own, mask = self.store, self._share(), self._document_mask
        if self._composed is not None:
            return ComposedBatches(self._composed, store.meta["eot"], own, document_mask=mask)
        plain = (self.train_tokens - 1) // self._length
        n_rows = plain if self._packed is None else self._packed.n_rows
        sampler = ShuffledRows(n_rows=n_rows, n_batch=self._sequences, seed=self._seed)
        if self._packed is not None:
            return PackedBatches(self._packed, sampler, own, document_mask=mask)
        return TrainBatches(store, sampler, self._length, own, document_mask=mask)

    def val_dataloader(self) -> DataLoader:
        """Held-out batches, the same ones in the same order always."""
        dataset = HeldOutBatches(
            self.store,
            self._windows,
            self._sequences,
            self._length,
            self._share(),
            document_mask=self._document_mask,
        )
        return self._load(dataset, range(-(-len(self._windows.starts) // self._sequences)))

    def _share(self) -> slice:
        """The rows of every batch that are for this device."""
        if self.trainer is None:
            return slice(0, self._sequences)
        return share(self._sequences, self.trainer.global_rank, self.trainer.world_size)

    def _load(self, dataset: Dataset[Batch], sampler: Any) -> DataLoader:
        return DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,
            collate_fn=_same,
            num_workers=self._workers,
            generator=torch.Generator(),  # else each loader would draw from the one of dropout
            pin_memory=torch.cuda.is_available(),
            persistent_workers=False,
        )


def _same(batch: Any) -> Any:
    return batch


def _check_packing(composed: ComposedSampler | None) -> None:
    if composed is not None:
        raise ValueError(
            "packing: expected no sampler beside it, since it lays out all documents itself, got "
            "one; set sampler=null or packing=null"
        )


def _check(*, held_out: float, eval_tokens: int, length: int, sequences: int) -> None:
    if not 0 <= held_out < 1:
        raise ValueError(
            f"data.held_out: expected a fraction from 0 to below 1, got {held_out}; 0.05 holds out "
            "a twentieth of the documents"
        )
    for name, value in (
        ("data.eval_tokens", eval_tokens),
        ("batch.length", length),
        ("batch.sequences", sequences),
    ):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}; raise it")


def _check_filled(store: Store, length: int, held_out: float) -> None:
    n_tokens = len(store.stream(TRAIN))
    if n_tokens <= length:
        raise ValueError(
            f"batch.length: expected at most {max(n_tokens - 1, 0)}, since the training text has "
            f"{n_tokens} tokens, got {length}; shorten it, or give more text"
        )
    if not any(domain.held_out_documents for domain in store.domains):
        n_documents = sum(domain.train_documents for domain in store.domains)
        raise ValueError(
            f"data.held_out: expected a fraction that leaves text to evaluate on, got {held_out} "
            f"of {n_documents} document(s); separate documents by a line <|endoftext|>, give a "
            "folder with several files or with one named valid.txt, or raise it"
        )
