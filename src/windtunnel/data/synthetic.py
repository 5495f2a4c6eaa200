"""A Markov source, whose best possible loss is known.

States are the last `order` tokens; the next token follows a row drawn once from a symmetric
Dirichlet law. With the stationary law pi, the entropy rate is
h = -sum_s pi_s sum_v P_sv ln P_sv nats per token, and no model can do better on average.
Source: Cover and Thomas 2006, "Elements of Information Theory", theorem 4.2.4.

The two stretches, one for training and one held out, are independent, each starts in the
stationary law and has no separators, so that nothing but the chain can be learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.data.source import Document, Listing, Split

_STREAMS = {"table": 0, "train": 1, "held_out": 2}  # keys of the random generators
_BLOCK = 64  # successors of one state drawn at once


class MarkovSource:
    """Gives token ids of a Markov chain over `vocab_size` tokens."""

    def __init__(
        self,
        *,
        vocab_size: int,
        order: int,
        concentration: float,
        train_tokens: int,
        held_out_tokens: int,
        seed: int,
    ) -> None:
        if not 1 <= order <= 2:
            raise ValueError(f"data.order: expected 1 or 2, got {order}; choose one of them")
        for name, value, least in (
            ("vocab_size", vocab_size, 2),
            ("train_tokens", train_tokens, 2),
            ("held_out_tokens", held_out_tokens, 2),
        ):
            if value < least:
                raise ValueError(f"data.{name}: expected at least {least}, got {value}; raise it")
        if not concentration > 0:
            raise ValueError(f"data.concentration: expected above 0, got {concentration}; raise it")
        self.vocab_size = vocab_size
        self.order = order
        self.concentration = concentration
        self.train_tokens = train_tokens
        self.held_out_tokens = held_out_tokens
        self.seed = seed

    def listing(self) -> Listing:
        """The settings, which say all."""
        n_bytes = 4 * (self.train_tokens + self.held_out_tokens)
        return Listing({"source": "markov", "numpy": np.__version__, **self._settings()}, n_bytes)

    def documents(self) -> Iterator[Document]:
        """Draws the two stretches."""
        stretches: tuple[tuple[Split, int], ...] = (
            ("train", self.train_tokens),
            ("held_out", self.held_out_tokens),
        )
        for split, n_tokens in stretches:
            ids = draw_chain(self.table_SV, self.stationary_S, n_tokens, self._generator(split))
            yield Document("markov", ids, split, split)

    def facts(self) -> dict[str, Any]:
        """The settings and the entropy rate."""
        return {**self._settings(), "entropy_rate_nats": self.entropy_rate_nats}

    @cached_property
    def table_SV(self) -> ndarray:
        """Law of the next token [S, V] in every state [S]."""
        n_states = self.vocab_size**self.order
        weights = self._generator("table").gamma(
            self.concentration, size=(n_states, self.vocab_size)
        )
        weights = np.maximum(weights, np.finfo(np.float64).tiny)
        return weights / weights.sum(1, keepdims=True)

    @cached_property
    def stationary_S(self) -> ndarray:
        """Stationary law of the states [S]."""
        return stationary(self.table_SV)

    @cached_property
    def entropy_rate_nats(self) -> float:
        """The least mean loss, in nats per token."""
        return entropy_rate(self.table_SV, self.stationary_S)

    def _settings(self) -> dict[str, Any]:
        names = ("vocab_size", "order", "concentration", "train_tokens", "held_out_tokens", "seed")
        return {name: getattr(self, name) for name in names}

    def _generator(self, stream: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self.seed, _STREAMS[stream]]))


def entropy_rate(table_SV: ndarray, stationary_S: ndarray) -> float:
    """h = -sum_s pi_s sum_v P_sv ln P_sv, in nats per token."""
    return float(-stationary_S @ (table_SV * np.log(table_SV)).sum(1))


def stationary(table_SV: ndarray) -> ndarray:
    """The law pi [S] that one step leaves as it is, by repeated steps.

    State s and token v lead to state (s V + v) mod S: the last tokens, oldest first.
    """
    n_states, n_tokens = table_SV.shape
    law_S = np.full(n_states, 1 / n_states)
    for _ in range(20_000):
        joint = law_S[:, None] * table_SV
        stepped_S = joint.reshape(n_tokens, n_states // n_tokens, n_tokens).sum(0).ravel()
        stepped_S /= stepped_S.sum()
        if np.abs(stepped_S - law_S).sum() < 1e-15 * n_states:
            return stepped_S
        law_S = stepped_S
    raise ValueError(
        f"data.concentration: the chain of {n_states} states mixes too slowly for its stationary "
        "law to be found; raise the concentration"
    )


def draw_chain(
    table_SV: ndarray, stationary_S: ndarray, n_tokens: int, generator: np.random.Generator
) -> ndarray:
    """Tokens of the chain [n_tokens], started in the stationary law.

    Every state has a queue of successors drawn in advance, so that a step costs a look-up.
    """
    n_states, vocab_size = table_SV.shape
    cumulative_SV = table_SV.cumsum(1)
    cumulative_SV /= cumulative_SV[:, -1:]
    queues: list[list[int]] = [[] for _ in range(n_states)]
    state = int(generator.choice(n_states, p=stationary_S))
    tokens = np.empty(n_tokens, np.int32)
    order = round(np.log(n_states) / np.log(vocab_size))
    for i in range(min(order, n_tokens)):
        tokens[i] = state // vocab_size ** (order - 1 - i) % vocab_size
    for i in range(order, n_tokens):
        queue = queues[state]
        if not queue:
            uniforms = generator.random(_BLOCK)
            queue = queues[state] = np.searchsorted(cumulative_SV[state], uniforms).tolist()
        token = queue.pop()
        tokens[i] = token
        state = (state * vocab_size + token) % n_states
    return tokens
