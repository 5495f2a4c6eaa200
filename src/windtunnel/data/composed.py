"""A sampler in stages: documents selected, laid out in an order, mixed by domain, counted, cut.

Sequence n of training is a function of (store, scores, seed, n). The mixture says which group
gives it, and so the how-manieth sequence k of that group it is; the order says which of the group's
rows the k-th is; the view says which tokens those are. Without a mixture all documents are one
group; with one, every domain is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents
from windtunnel.data.limits import Limits
from windtunnel.data.mixture import Groups, Plan
from windtunnel.data.store import Store
from windtunnel.data.turns import Turns
from windtunnel.data.view import View

_EVERYTHING = "all the text"
_BLOCK = 1024  # sequences that are drawn at once: one by one takes longer than reading them
_KEPT = 2  # blocks kept in memory


class Selection(Protocol):
    """Numbers of the documents that are in, ascending."""

    def __call__(self, documents: Documents, seed: int) -> ndarray: ...


class Order(Protocol):
    """Lays out a group's documents; rows [m] that its visits [m] take, out of `n_rows`.

    shares: how much of the budget is spent at each visit [m]. seed: of the run, and of the group.
    """

    def lay(self, documents: Documents, group: ndarray) -> ndarray: ...
    def rows(
        self, visits: ndarray, shares: ndarray, n_rows: int, seed: tuple[int, int]
    ) -> ndarray: ...


class Mixture(Protocol):
    """Weights of groups over a budget of so many tokens."""

    def plan(self, groups: Groups, budget: int) -> Plan: ...


class Length(Protocol):
    """Tokens of the pieces that windows are cut into, at shares of the budget [n]."""

    def lengths(self, shares: ndarray, length: int) -> ndarray: ...


class Setting(NamedTuple):
    """What a run gives its sampler: sequences of a batch and of the whole budget among others."""

    store: Store
    length: int
    n_batch: int
    n_sequences: int
    seed: int


class ComposedSampler:
    """Rows of a view by stages; `length` None leaves windows whole."""

    def __init__(
        self,
        setting: Setting,
        *,
        selection: Selection | None,
        order: Order,
        mixture: Mixture | None,
        limits: Limits,
        length: Length | None,
    ) -> None:
        self._setting, self._order, self._length = setting, order, length
        self._blocks: dict[int, ndarray] = {}
        self._documents = documents = Documents(setting.store)
        kept = np.arange(len(documents), dtype=np.int32)
        if selection is not None:
            kept = _check_kept(selection(documents, setting.seed))
        self._names, groups = _groups(documents, kept, by_domain=mixture is not None)
        laid = [order.lay(documents, group) for group in groups]
        self.view = View(documents, laid, setting.length)
        if not self.view.n_tokens.any():
            raise ValueError(
                "sampler.order.score: expected scores for some of the documents selected, got "
                "-inf for all; compute the score of these documents"
            )
        self._turns = self._plan(mixture)
        stages = (selection, order, mixture, limits, length)
        self.digest = self._digest(repr(stages), laid)
        self._epochs = dict(zip(self._names, self._passes(), strict=True))
        self.warnings = limits.warnings(self._epochs)

    def rows(self, step: int) -> ndarray:
        """The rows of batch `step` [n_batch]."""
        first, n_batch = step * self._setting.n_batch, self._setting.n_batch
        blocks = range(first // _BLOCK, (first + n_batch - 1) // _BLOCK + 1)
        start = first - blocks[0] * _BLOCK
        return np.concatenate([self._block(i) for i in blocks])[start : start + n_batch]

    def _block(self, i: int) -> ndarray:
        """The rows of a block of sequences, of which the last few are kept."""
        if i not in self._blocks:
            if len(self._blocks) >= _KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[i] = self._draw(i * _BLOCK, (i + 1) * _BLOCK)
        return self._blocks[i]

    def _draw(self, first: int, last: int) -> ndarray:
        """The rows of the sequences from `first` to before `last`."""
        groups, visits = self._turns.at(first, last)
        shares = self._shares(first, last)
        rows = np.empty(len(groups), np.int64)
        for g in np.unique(groups):
            here = groups == g
            seed = (self._setting.seed, int(g))
            own = self._order.rows(visits[here], shares[here], int(self.view.n_rows[g]), seed)
            rows[here] = own + self.view.offsets[g]
        return rows

    def _shares(self, first: int, last: int) -> ndarray:
        """Share of the budget that is spent before each of some sequences."""
        return np.minimum(np.arange(first, last) / self._setting.n_sequences, 1.0)

    def lengths(self, step: int) -> ndarray | None:
        """Tokens of the pieces of each window of a batch [n_batch]; None where all are whole."""
        if self._length is None:
            return None
        first = step * self._setting.n_batch
        shares = self._shares(first, first + self._setting.n_batch)
        lengths = self._length.lengths(shares, self.view.length)
        return None if (lengths == self.view.length).all() else lengths

    def window(self, row: int) -> tuple[ndarray, int]:
        """Tokens of a row [length + 1], and the domain that it begins in."""
        tokens, document = self.view.window(row)
        return tokens, int(self._documents.domains[document])

    def facts(self) -> dict[str, Any]:
        """What the record says: documents, tokens, sequences and epochs of every group."""
        asked = self._turns.asked(self._setting.n_sequences)
        groups = {
            name: {
                "documents": self.view.n_documents[g],
                "tokens": int(self.view.n_tokens[g]),
                "sequences": float(asked[g]),
                "epochs": self._epochs[name],
            }
            for g, name in enumerate(self._names)
        }
        return {"order": self.digest, "groups": groups}

    def _plan(self, mixture: Mixture | None) -> Turns:
        setting = self._setting
        if mixture is None:
            return Turns(np.array([0.0, 1.0]), np.ones((2, 1)))
        budget = setting.n_sequences * setting.length
        plan = mixture.plan(Groups(self._names, self.view.n_tokens), budget)
        return Turns(plan.shares_K * setting.n_sequences, plan.weights_KG)

    def _passes(self) -> list[float]:
        """How often the budget goes over each group's rows."""
        asked = self._turns.asked(self._setting.n_sequences)
        return (asked / np.maximum(self.view.n_rows, 1)).tolist()

    def _digest(self, stages: str, laid: Sequence[ndarray]) -> str:
        setting = self._setting
        sizes = (setting.store.meta["store"], setting.length, setting.n_sequences)
        settings = re.sub(" at 0x[0-9a-f]+", "", stages)  # where a function lies in memory
        digest = hashlib.sha256(f"{sizes} {settings}".encode())
        for group in laid:
            digest.update(np.ascontiguousarray(group, np.int32).tobytes())
            digest.update(b"|")
        return digest.hexdigest()[:16]


def _groups(
    documents: Documents, kept: ndarray, *, by_domain: bool
) -> tuple[list[str], list[ndarray]]:
    if not by_domain:
        return [_EVERYTHING], [kept]
    domains = documents.domains[kept]
    names = documents.domain_names
    return names, [kept[domains == i] for i in range(len(names))]


def _check_kept(kept: ndarray) -> ndarray:
    if not len(kept):
        raise ValueError(
            "sampler.selection: expected a selection that keeps some of the documents, got none; "
            "widen its bounds, or raise its fraction"
        )
    return kept
