"""How well an n-gram model knows a document: interpolated Kneser-Ney over token ids.

    p_k(w | h) = max(c(h w) - D_k, 0) / c(h .) + D_k N(h .) / c(h .) p_{k-1}(w | h'),   p_0 = 1 / V

h' is h without its first token, N(h .) counts the tokens seen after h, c(h .) = sum_w c(h w). At
the highest order c counts occurrences; below it, the different tokens before h w, where the start
of a document counts each time. D_k = n_1 / (n_1 + 2 n_2), n_i: how many c(h w) are i; 1/2 where
either is 0. A context never seen leaves the lower order as it is.
Source: Kneser and Ney 1995; interpolated, Chen and Goodman 1999, "An empirical study of smoothing
techniques for language modeling", section 3; perplexity as a filter, Wenzek et al. 2019 (CCNet),
arXiv 1911.00359. Bits per byte in place of perplexity, so that tokenizers can be compared.

Axes: T tokens of several documents on end, G different n-grams, H different contexts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages

Unit = Literal["bits_per_byte", "nats_per_token"]


@dataclass(frozen=True)
class Order:
    """One order k: keys of its n-grams, sorted [G]; what they count [G]; their contexts' sums."""

    keys_G: ndarray
    counts_G: ndarray
    sums_H: ndarray
    types_H: ndarray
    discount: float

    def find(self, contexts_T: ndarray, tokens_T: ndarray, vocab_size: int) -> ndarray:
        """Index of each n-gram [T], by the index of its context and its last token; -1: unseen."""
        keys_T = contexts_T * vocab_size + tokens_T
        found_T = np.minimum(np.searchsorted(self.keys_G, keys_T), len(self.keys_G) - 1)
        return np.where((contexts_T >= 0) & (self.keys_G[found_T] == keys_T), found_T, -1)


class KneserNey:
    """An n-gram model of token ids."""

    def __init__(self, documents: Sequence[ndarray], *, order: int, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        tokens_T, places_T = joined(documents)
        found = self._find_all(tokens_T, places_T, order)
        self.orders = [
            self._count(ids, found[k + 1] if k + 1 < len(found) else None, places_T, k)
            for k, ids in enumerate(found)
        ]

    def _find_all(self, tokens_T: ndarray, places_T: ndarray, order: int) -> list[_Grams]:
        """Every order's n-grams, numbered in the order of their keys."""
        found: list[_Grams] = []
        for k in range(order):
            contexts_T = _contexts(found[-1].ids_T if found else None, places_T, k)
            keys_T = np.where(contexts_T < 0, -1, contexts_T * self.vocab_size + tokens_T)
            keys_G, ids_T = np.unique(keys_T, return_inverse=True)
            n_unseen = int(keys_G[0] == -1)  # places too near the start of their document
            if n_unseen == len(keys_G):  # no document is long enough for this order
                break
            found.append(_Grams(keys_G[n_unseen:], ids_T - n_unseen))
        return found

    def _count(self, grams: _Grams, longer: _Grams | None, places_T: ndarray, k: int) -> Order:
        n_grams = len(grams.keys_G)
        here_T = grams.ids_T >= 0
        if longer is None:
            counts_G = np.bincount(grams.ids_T[here_T], minlength=n_grams)
        else:
            at_start_T = here_T & (places_T == k)
            counts_G = np.bincount(grams.ids_T[at_start_T], minlength=n_grams)
            _, first = np.unique(longer.ids_T, return_index=True)
            first = first[longer.ids_T[first] >= 0]  # one place of every n-gram one token longer
            counts_G = counts_G + np.bincount(grams.ids_T[first], minlength=n_grams)
        contexts_G = grams.keys_G // self.vocab_size
        once, twice = (int((counts_G == i).sum()) for i in (1, 2))
        return Order(
            grams.keys_G,
            counts_G,
            np.bincount(contexts_G, counts_G),
            np.bincount(contexts_G),
            once / (once + 2 * twice) if once and twice else 0.5,
        )

    def nats(self, documents: Sequence[ndarray]) -> list[ndarray]:
        """-ln p of every token of each document but its first, as `documents` gives them."""
        tokens_T, places_T = joined(documents)
        p_T = np.full(len(tokens_T), 1 / self.vocab_size)
        ids_T = None
        for k, order in enumerate(self.orders):
            contexts_T = _contexts(ids_T, places_T, k)
            ids_T = order.find(contexts_T, tokens_T, self.vocab_size)
            known_T = (contexts_T >= 0) & (contexts_T < len(order.sums_H))
            sums_T = np.where(known_T, order.sums_H[np.where(known_T, contexts_T, 0)], 0)
            known_T = sums_T > 0
            counts_T = np.where(ids_T >= 0, order.counts_G[ids_T], 0)
            seen_T = np.maximum(counts_T - order.discount, 0)
            left_T = order.discount * order.types_H[np.where(known_T, contexts_T, 0)]
            p_T = np.where(known_T, (seen_T + left_T * p_T) / np.maximum(sums_T, 1), p_T)
        ends = np.cumsum([0, *map(len, documents)])
        return [-np.log(p_T[first + 1 : end]) for first, end in pairwise(ends)]


@dataclass(frozen=True)
class _Grams:
    """N-grams of one order: their keys [G], and which one ends at every place [T]; -1: none."""

    keys_G: ndarray
    ids_T: ndarray


def joined(documents: Sequence[ndarray]) -> tuple[ndarray, ndarray]:
    """Tokens of all documents on end [T], and the place of each in its document [T]."""
    tokens_T = np.concatenate([np.asarray(d, np.int64) for d in documents])
    places_T = np.concatenate([np.arange(len(d)) for d in documents])
    return tokens_T, places_T


def _contexts(shorter_T: ndarray | None, places_T: ndarray, k: int) -> ndarray:
    """Index of the k tokens before each place among n-grams of k tokens [T]; -1: none there."""
    if shorter_T is None:
        return np.zeros(len(places_T), np.int64)
    return np.where(places_T >= k, np.roll(shorter_T, 1), -1)


class NGram:
    """Mean -log p of a document's tokens under a model fitted to documents of this store.

    domains: names of the domains that it is fitted to, null for all. fit_tokens: of the first
    documents of these, which are a random choice; it is fitted to no more.
    """

    level = "document"
    columns = ("",)

    def __init__(
        self, *, order: int, domains: Iterable[str] | None, fit_tokens: int, unit: Unit
    ) -> None:
        if order < 1:
            raise ValueError(f"scorer.order: expected 1 token or more, got {order}; 3 is usual")
        if unit not in ("bits_per_byte", "nats_per_token"):
            raise ValueError(
                f"scorer.unit: expected bits_per_byte or nats_per_token, got {unit!r}; choose one"
            )
        self._order, self._unit, self._fit_tokens = order, unit, fit_tokens
        self._domains = None if domains is None else list(domains)
        self._model: KneserNey | None = None

    def fit(self, passages: Passages) -> None:
        """Counts the n-grams of the documents chosen for it."""
        names = passages.documents.domain_names
        unknown = sorted(set(self._domains or []) - set(names))
        if unknown:
            raise ValueError(
                f"scorer.domains: expected domains of the data, {', '.join(names)}, got "
                f"{', '.join(unknown)}; name some of them, or null for all"
            )
        wanted = range(len(names)) if self._domains is None else map(names.index, self._domains)
        numbers = np.flatnonzero(np.isin(passages.documents.domains, list(wanted)))
        inside = np.cumsum(passages.lengths[numbers]) <= self._fit_tokens
        if not inside.any():
            raise ValueError(
                f"scorer.fit_tokens: expected room for one document at least, got "
                f"{self._fit_tokens}; raise it"
            )
        documents = [passages[int(i)].ids for i in numbers[inside]]
        vocab_size = passages.store.meta["vocab_size"]
        self._model = KneserNey(documents, order=self._order, vocab_size=vocab_size)

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        assert self._model is not None  # the task fits first
        found = self._model.nats([passage.ids for passage in passages])
        if self._unit == "nats_per_token":
            return np.array([[nats.mean()] for nats in found])
        n_bytes = [len(passage.text.encode()) for passage in passages]
        return np.array([[x.sum() / np.log(2) / n] for x, n in zip(found, n_bytes, strict=True)])
