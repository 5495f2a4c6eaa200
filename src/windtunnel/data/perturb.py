"""Impossible languages: rules that reorder the tokens of a sentence, or mark a place in it.

- `Unchanged`: as it is.
- `Shuffle`: another order in every sentence.
- `ShuffleDeterministic`: one order for each length of a sentence, drawn from a seed.
- `ShuffleLocal`: the same within stretches of `window` tokens, of which the last may be short.
- `EvenOdd`: the tokens at even places from 0 on, then those at odd ones.
- `ReverseControl`: a marker R at a random place; `ReversePartial` then reverses what follows R, and
  `ReverseFull` the whole sentence, R with it.
- `data.hop.Hop`: the number of a verb in a marker some way behind it.

Source: Kallini et al. 2024, arXiv 2401.06416, section 3 and its code, whose orders these are.
Deviation: where theirs draws from one generator that runs through the corpus, a sentence here has
a generator of its own, keyed by the seed, its document and its number in it, so that a sentence
comes out the same whatever is read before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

from windtunnel.data.hop import Hop


class Perturbation(Protocol):
    """One impossible language, or the possible one beside it.

    n_markers: how many token ids it adds to the vocabulary.
    """

    @property
    def n_markers(self) -> int: ...

    def cut(self, sentence: str) -> Sequence[str | int]:
        """Pieces of text, and numbers of markers between them; none leaves the sentence out."""
        ...

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        """The sentence in this language.

        ids: its token ids [n], with the markers that it was cut with. marker: the first id that
        the tokenizer itself does not use. key: what tells the sentence from all others.
        """
        ...


@lru_cache(maxsize=4096)
def order(n: int, seed: int) -> ndarray:
    """Where the tokens of a shuffled sentence come from [n]: a function of length and seed."""
    places = np.arange(n)
    np.random.default_rng(seed).shuffle(places)
    return places


def shuffle_local(ids: ndarray, window: int, seed: int) -> ndarray:
    """Every stretch of `window` tokens in the order of its length."""
    stretches = [ids[i : i + window] for i in range(0, len(ids), window)]
    return np.concatenate([stretch[order(len(stretch), seed)] for stretch in stretches])


def even_odd(ids: ndarray) -> ndarray:
    """Tokens at even places, then those at odd ones."""
    return np.concatenate([ids[::2], ids[1::2]])


def marked(ids: ndarray, marker: int, place: int) -> ndarray:
    """The sentence with a marker before the token at `place` [n + 1]."""
    return np.insert(ids, place, marker)


def reverse_partial(ids: ndarray, marker: int, place: int) -> ndarray:
    """What follows the marker reversed."""
    return np.concatenate([marked(ids[:place], marker, place), ids[place:][::-1]])


class OnTokens:
    """A rule that needs no text."""

    def cut(self, sentence: str) -> Sequence[str | int]:
        """All of it in one piece."""
        return [sentence]


@dataclass(frozen=True)
class Unchanged(OnTokens):
    """The language as it is."""

    n_markers = 0

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return ids


@dataclass(frozen=True)
class Shuffle(OnTokens):
    """No order at all."""

    seed: int
    n_markers = 0

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return np.random.default_rng([self.seed, *key]).permutation(ids)


@dataclass(frozen=True)
class ShuffleDeterministic(OnTokens):
    """An order for each length."""

    seed: int
    n_markers = 0

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return ids[order(len(ids), self.seed)]


class ShuffleLocal(OnTokens):
    """An order within each stretch of `window` tokens."""

    n_markers = 0

    def __init__(self, *, window: int, seed: int) -> None:
        if window < 2:
            raise ValueError(
                f"perturbation.window: expected at least 2 tokens, got {window}; 3, 5 and 10 are "
                "usual, perturbation=unchanged shuffles nothing"
            )
        self.window, self.seed = window, seed

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return shuffle_local(ids, self.window, self.seed)


@dataclass(frozen=True)
class EvenOdd(OnTokens):
    """Even places first."""

    n_markers = 0

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return even_odd(ids)


@dataclass(frozen=True)
class ReverseControl(OnTokens):
    """A marker that nothing follows from."""

    seed: int
    n_markers = 1

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return marked(ids, marker, self.place(len(ids), key))

    def place(self, n: int, key: Sequence[int]) -> int:
        """Where the marker goes: the same in all three languages."""
        return int(np.random.default_rng([self.seed, *key]).integers(n + 1))


@dataclass(frozen=True)
class ReversePartial(ReverseControl):
    """What follows the marker is reversed."""

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return reverse_partial(ids, marker, self.place(len(ids), key))


@dataclass(frozen=True)
class ReverseFull(ReverseControl):
    """All is reversed."""

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        return marked(ids, marker, self.place(len(ids), key))[::-1]


KINDS = (
    Unchanged, Shuffle, ShuffleDeterministic, ShuffleLocal, EvenOdd, ReverseControl,
    ReversePartial, ReverseFull, Hop,
)  # fmt: skip


def to_json(perturbation: Perturbation) -> dict[str, Any]:
    """Its name and settings."""
    return {"name": type(perturbation).__name__, **vars(perturbation)}


def from_json(values: Mapping[str, Any]) -> Perturbation:
    """The perturbation that such values say."""
    settings = {key: value for key, value in values.items() if key != "name"}
    kind: Any = {kind.__name__: kind for kind in KINDS}[values["name"]]
    return kind(**settings)
