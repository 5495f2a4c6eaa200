"""Languages made up as Markov chains that share some of their tokens, with known entropy rates.

Language l speaks in tokens of its own and in tokens that all languages have. The next token v
follows the last one, s, with P_sv proportional to exp(L_sv) over the tokens of the language,

    L_sv = strength_l * sum_k k^-exponent x_k(s) y_k(v),   k = 1 .. n - 1,

x and y standard normal, drawn once for every token: what shared tokens do to each other is the same
in all languages up to the normalisation, so that text of one language teaches a little of another.
A stronger language is easier: it has a lower entropy rate, h = -sum_s pi_s sum_v P_sv ln P_sv.

Source: ours, after `data.synthetic`.

Axes: S last token, V next token, K directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.data.source import Document, Listing, Split
from windtunnel.data.synthetic import draw_chain, entropy_rate, stationary

_STREAMS = {"tokens": 0, "train": 1, "held_out": 2}  # keys of the random generators


class MarkovLanguages:
    """Gives token ids of several chains, each a domain."""

    def __init__(
        self,
        *,
        languages: Mapping[str, Mapping[str, float]],
        shared_tokens: int,
        private_tokens: int,
        exponent: float,
        held_out_tokens: int,
        seed: int,
    ) -> None:
        """Refuses chains that cannot be drawn.

        Args:
            languages: by name the `tokens` to train on and the `strength` of the logits.
            shared_tokens: how many token ids all languages have.
            private_tokens: how many more each has for itself.
            exponent: how fast the strength of a direction falls with its rank.
            held_out_tokens: of each language.
            seed: of the chains and their tokens.
        """
        if not languages:
            raise ValueError("data.languages: expected at least one language, got none; give one")
        for name, own in languages.items():
            if set(own) != {"tokens", "strength"}:
                raise ValueError(
                    f"data.languages.{name}: expected tokens and strength, got {dict(own)}; write "
                    "{tokens: 400_000, strength: 2.5}"
                )
            if not (own["tokens"] >= 2 and own["strength"] > 0):
                raise ValueError(
                    f"data.languages.{name}: expected at least 2 tokens and a strength above 0, "
                    f"got {own['tokens']} and {own['strength']}; raise them"
                )
        for setting, value, least in (
            ("shared_tokens", shared_tokens, 0),
            ("private_tokens", private_tokens, 2),
            ("held_out_tokens", held_out_tokens, 2),
        ):
            if value < least:
                raise ValueError(
                    f"data.{setting}: expected at least {least}, got {value}; raise it"
                )
        if not exponent > 0:
            raise ValueError(f"data.exponent: expected above 0, got {exponent}; raise it")
        self.languages = {name: dict(own) for name, own in languages.items()}
        self.shared_tokens, self.private_tokens = shared_tokens, private_tokens
        self.exponent, self.held_out_tokens, self.seed = exponent, held_out_tokens, seed
        self.vocab_size = shared_tokens + private_tokens * len(languages)

    def listing(self) -> Listing:
        """The settings, which say all."""
        n_tokens = sum(int(own["tokens"]) + self.held_out_tokens for own in self.languages.values())
        identity = {"source": "markov languages", "numpy": np.__version__, **self._settings()}
        return Listing(identity, 4 * n_tokens)

    def documents(self) -> Iterator[Document]:
        """Draws two stretches of every language."""
        for name, own in self.languages.items():
            stretches: tuple[tuple[Split, int], ...] = (
                ("train", int(own["tokens"])),
                ("held_out", self.held_out_tokens),
            )
            table_SV, law_S = self.tables[name], stationary(self.tables[name])
            for split, n_tokens in stretches:
                ids = draw_chain(table_SV, law_S, n_tokens, self._generator(split, name))
                yield Document(name, self.ids(name)[ids], f"{name} {split}", split)

    def facts(self) -> dict[str, Any]:
        """The settings and the entropy rates."""
        rates = {name: entropy_rate(own, stationary(own)) for name, own in self.tables.items()}
        return {**self._settings(), "entropy_rates_nats": rates}

    def ids(self, name: str) -> ndarray:
        """Token ids of a language [V], the shared ones first."""
        first = self.shared_tokens + list(self.languages).index(name) * self.private_tokens
        own = np.arange(first, first + self.private_tokens)
        return np.concatenate([np.arange(self.shared_tokens), own]).astype(np.int32)

    @cached_property
    def tables(self) -> dict[str, ndarray]:
        """Law of the next token [S, V] after every token [S] of each language."""
        n_tokens = self.shared_tokens + self.private_tokens
        generator = self._generator("tokens", "")
        last_K, next_K = generator.standard_normal((2, self.vocab_size, n_tokens - 1))
        spectrum_K = np.arange(1.0, n_tokens) ** -self.exponent
        tables = {}
        for name, own in self.languages.items():
            ids = self.ids(name)
            logits_SV = own["strength"] * (last_K[ids] * spectrum_K) @ next_K[ids].T
            weights_SV = np.exp(logits_SV - logits_SV.max(1, keepdims=True))
            weights_SV = np.maximum(weights_SV, np.finfo(np.float64).tiny)
            tables[name] = weights_SV / weights_SV.sum(1, keepdims=True)
        return tables

    def _settings(self) -> dict[str, Any]:
        names = ("shared_tokens", "private_tokens", "exponent", "held_out_tokens", "seed")
        return {"languages": self.languages, **{name: getattr(self, name) for name in names}}

    def _generator(self, stream: str, language: str) -> np.random.Generator:
        place = 0 if not language else 1 + list(self.languages).index(language)
        key = [self.seed, len(_STREAMS) * place + _STREAMS[stream]]
        return np.random.Generator(np.random.Philox(key=key))
