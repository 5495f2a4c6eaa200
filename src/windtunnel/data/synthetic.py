"""A Markov source, whose best possible loss is known and whose structure has every size.

The next token v follows the last one, s, with P_sv proportional to exp(L_sv),
L_sv = strength * sum_k k^-exponent x_k(s) y_k(v), k = 1 .. V - 1, where the x_k, and so the y_k,
are orthogonal to each other and to the constant, with mean square 1: the logits have a spectrum
that falls as a power of the rank. A model of width w has logits of rank w, so it misses the
directions beyond w and loses about strength^2 / 2 * sum_{k > w} k^(-2 exponent), which is close
to a power of w as long as w is far below V. With the stationary law pi, the entropy rate is
h = -sum_s pi_s sum_v P_sv ln P_sv nats per token, and no model can do better on average.
Source: the entropy rate, Cover and Thomas 2006, "Elements of Information Theory", theorem 4.2.4;
that a spectrum falling as a power gives a loss falling as a power, Maloney et al. 2022, arXiv
2210.16859; the source is our own.

The two stretches, one for training and one held out, are independent, each starts in the
stationary law and has no separators, so that nothing but the chain can be learned.

Axes: S last token, V next token, K directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.data.source import Document, Listing, Split

_STREAMS = {"table": 0, "train": 1, "held_out": 2}  # keys of the random generators
_BLOCK = 64  # successors of one token drawn at once


class MarkovSource:
    """Gives token ids of a Markov chain over `vocab_size` tokens."""

    def __init__(
        self,
        *,
        vocab_size: int,
        strength: float,
        exponent: float,
        train_tokens: int,
        held_out_tokens: int,
        seed: int,
    ) -> None:
        for name, value, least in (
            ("vocab_size", vocab_size, 2),
            ("train_tokens", train_tokens, 2),
            ("held_out_tokens", held_out_tokens, 2),
        ):
            if value < least:
                raise ValueError(f"data.{name}: expected at least {least}, got {value}; raise it")
        for name, value in (("strength", strength), ("exponent", exponent)):
            if not value > 0:
                raise ValueError(f"data.{name}: expected above 0, got {value}; raise it")
        self.vocab_size = vocab_size
        self.strength = strength
        self.exponent = exponent
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
        """Law of the next token [S, V] after every token [S]."""
        generator = self._generator("table")
        last_SK, next_VK = (directions(self.vocab_size, generator) for _ in range(2))
        spectrum_K = self.strength * np.arange(1.0, self.vocab_size) ** -self.exponent
        logits_SV = (last_SK * spectrum_K) @ next_VK.T
        weights_SV = np.exp(logits_SV - logits_SV.max(1, keepdims=True))
        weights_SV = np.maximum(weights_SV, np.finfo(np.float64).tiny)
        return weights_SV / weights_SV.sum(1, keepdims=True)

    @cached_property
    def stationary_S(self) -> ndarray:
        """Stationary law of the tokens [S]."""
        return stationary(self.table_SV)

    @cached_property
    def entropy_rate_nats(self) -> float:
        """The least mean loss, in nats per token."""
        return entropy_rate(self.table_SV, self.stationary_S)

    def _settings(self) -> dict[str, Any]:
        names = ("vocab_size", "strength", "exponent", "train_tokens", "held_out_tokens", "seed")
        return {name: getattr(self, name) for name in names}

    def _generator(self, stream: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self.seed, _STREAMS[stream]]))


def directions(n_tokens: int, generator: np.random.Generator) -> ndarray:
    """Functions of a token [n_tokens, n_tokens - 1]: uncorrelated, mean 0, mean square 1.

    Their signs are fixed, since libraries of linear algebra differ in them.
    """
    drawn = generator.standard_normal((n_tokens, n_tokens - 1))
    basis, triangle = np.linalg.qr(np.column_stack([np.ones(n_tokens), drawn]))
    return (basis * np.sign(np.diag(triangle)))[:, 1:] * np.sqrt(n_tokens)


def entropy_rate(table_SV: ndarray, stationary_S: ndarray) -> float:
    """h = -sum_s pi_s sum_v P_sv ln P_sv, in nats per token."""
    return float(-stationary_S @ (table_SV * np.log(table_SV)).sum(1))


def stationary(table_SV: ndarray) -> ndarray:
    """The law pi [S] that one step leaves as it is, by repeated steps."""
    n_tokens = len(table_SV)
    law_S = np.full(n_tokens, 1 / n_tokens)
    for _ in range(20_000):
        stepped_S = law_S @ table_SV
        stepped_S /= stepped_S.sum()
        if np.abs(stepped_S - law_S).sum() < 1e-15 * n_tokens:
            return stepped_S
        law_S = stepped_S
    raise ValueError(
        f"data.strength: the chain of {n_tokens} tokens mixes too slowly for its stationary law to "
        "be found; lower the strength"
    )


def draw_chain(
    table_SV: ndarray, stationary_S: ndarray, n_tokens: int, generator: np.random.Generator
) -> ndarray:
    """Tokens of the chain [n_tokens], started in the stationary law.

    Every token has a queue of successors drawn in advance, so that a step costs a look-up.
    """
    cumulative_SV = table_SV.cumsum(1)
    cumulative_SV /= cumulative_SV[:, -1:]
    queues: list[list[int]] = [[] for _ in table_SV]
    token = int(generator.choice(len(table_SV), p=stationary_S))
    tokens = np.empty(n_tokens, np.int32)
    tokens[0] = token
    for i in range(1, n_tokens):
        queue = queues[token]
        if not queue:
            uniforms = generator.random(_BLOCK)
            queue = queues[token] = np.searchsorted(cumulative_SV[token], uniforms).tolist()
        token = queue.pop()
        tokens[i] = token
    return tokens
