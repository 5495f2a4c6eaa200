"""Selections: which training documents are in, by a score.

`fraction` is a share of tokens: documents are taken one by one until it is reached. With
`by_domain` it holds in every domain, so that the proportions of the domains stay as they are; a
score that knows the domain would otherwise choose domains. Documents with equal scores are taken in
the order of the store, which is that of their hashes; those with a score of -inf never.
Source: bands of percentiles, Wenzek et al. 2020 (CCNet), arXiv 1911.00359, section 3.3; sampling
without replacement with probabilities proportional to exp(z / tau), Wettig et al. 2024 (QuRating),
arXiv 2402.09739, equation 4, by the largest z / tau + Gumbel noise: Vieira 2014, "Gumbel-max trick
and weighted reservoir sampling".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents

_STREAM = 1 << 62  # of the random numbers here: no epoch of a sampler has this number


@dataclass(frozen=True, kw_only=True)
class Top:
    """The documents with the highest scores, or with the lowest."""

    score: str
    fraction: float
    lowest: bool
    by_domain: bool

    def __post_init__(self) -> None:
        check_fraction(self.fraction)

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        values = documents.score(self.score)
        keys = np.where(values > -np.inf, -values, -np.inf) if self.lowest else values
        return take(documents, keys, self.fraction, by_domain=self.by_domain)


@dataclass(frozen=True, kw_only=True)
class Softmax:
    """Drawn without replacement with weights exp(z / temperature), z the standardised score: 0
    takes the highest, inf draws evenly."""

    score: str
    fraction: float
    temperature: float
    by_domain: bool

    def __post_init__(self) -> None:
        check_fraction(self.fraction)
        if not self.temperature > 0:
            raise ValueError(
                f"sampler.selection.temperature: expected above 0, got {self.temperature}; 2 is "
                "mild, and sampler/selection=top takes the highest scores"
            )

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        values = documents.score(self.score).astype(float)
        finite = values[values > -np.inf]
        z = (values - finite.mean()) / (finite.std() or 1.0)
        keys = z / self.temperature + gumbel(len(values), seed)
        return take(documents, keys, self.fraction, by_domain=self.by_domain)


@dataclass(frozen=True, kw_only=True)
class Random:
    """Drawn evenly: the control of any selection."""

    fraction: float
    by_domain: bool

    def __post_init__(self) -> None:
        check_fraction(self.fraction)

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        keys = gumbel(len(documents), seed)
        return take(documents, keys, self.fraction, by_domain=self.by_domain)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Scores from `low` to `high`; null is no bound."""

    score: str
    low: float | None
    high: float | None

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        values = documents.score(self.score)
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return np.flatnonzero((values > -np.inf) & (values >= low) & (values <= high))


@dataclass(frozen=True, kw_only=True)
class Band:
    """Documents whose rank by score, from 0 to 1, lies from `low` to below `high`."""

    score: str
    low: float
    high: float
    by_domain: bool

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(
                f"sampler.selection.low, high: expected 0 <= low < high <= 1, got {self.low} and "
                f"{self.high}; 0 and 0.3 keep the lowest three tenths"
            )

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        values = documents.score(self.score)
        kept = []
        for group in strata(documents, by_domain=self.by_domain):
            group = group[values[group] > -np.inf]
            ranked = group[np.argsort(values[group], kind="stable")]
            kept.append(ranked[round(self.low * len(ranked)) : round(self.high * len(ranked))])
        return np.sort(np.concatenate(kept))


def take(documents: Documents, keys: ndarray, fraction: float, *, by_domain: bool) -> ndarray:
    """Documents with the largest keys [n], until a fraction of the tokens is reached."""
    kept = []
    for group in strata(documents, by_domain=by_domain):
        wanted = max(round(fraction * int(documents.n_tokens(group).sum())), 1)
        group = group[keys[group] > -np.inf]
        ranked = group[np.argsort(-keys[group], kind="stable")]
        n_tokens = documents.n_tokens(ranked)
        kept.append(ranked[np.cumsum(n_tokens) - n_tokens < wanted])
    return np.sort(np.concatenate(kept))


def strata(documents: Documents, *, by_domain: bool) -> Iterator[ndarray]:
    """Numbers of all documents; with `by_domain` those of each domain by itself."""
    if not by_domain:
        yield np.arange(len(documents))
        return
    for domain in np.unique(documents.domains):
        yield np.flatnonzero(documents.domains == domain)


def gumbel(n: int, seed: int) -> ndarray:
    """Standard Gumbel noise [n] of a seed."""
    return np.random.Generator(np.random.Philox(key=[seed, _STREAM])).gumbel(size=n)


def check_fraction(fraction: float) -> None:
    """Refuses a fraction that selects nothing, or more than all.

    Raises:
        ValueError: it does not lie above 0 and up to 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f"sampler.selection.fraction: expected above 0 and up to 1, got {fraction}; 0.5 keeps "
            "half"
        )
