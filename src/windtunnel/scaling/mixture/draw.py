"""Mixtures drawn at random: to train proxies on, and to seek the best one among.

A mixture is a draw of Dirichlet(strength p^temper / sum p^temper), p the prior shares, with a
strength that is itself drawn, log-spaced: weak ones give mixtures of a few domains, strong ones
mixtures near the prior. Weights are rounded to whole units (largest remainder), so that they sum to
one and small ones vanish; a mixture with a weight above its domain's bound is thrown away, and no
two are the same.

Source: Liu et al. 2024 (RegMix), arXiv 2407.01492, section 3, and its published code (strengths 0.1
to 5 in 15 steps, temper 0.5, units of 2e-4; for the search strength 1, temper 1). Deviation: there
rounding may leave a sum beside one.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

UNITS = 5000  # of which a mixture is made: RegMix's smallest weight, 2e-4
TRIES = 100  # draws per mixture that is wanted, before giving up
SMALLEST_ROUND = 1000  # draws at once


@dataclass(frozen=True)
class Draw:
    """Settings of the draws: low, high and number of the strengths; power of the prior."""

    low: float
    high: float
    steps: int
    temper: float

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.high and self.steps >= 1):
            raise ValueError(
                f"low, high, steps: expected strengths from above 0 up, in at least one step; got "
                f"{self.low}, {self.high} and {self.steps}; 0.1, 5 and 15 are usual"
            )
        if self.temper < 0:
            raise ValueError(
                f"temper: expected from 0 (all domains alike) to 1 (the prior), got {self.temper}"
            )

    def mixtures(self, prior_S: ndarray, bound_S: ndarray, n: int, seed: int) -> ndarray:
        """`n` different mixtures, each row summing to one [n, S].

        Args:
            prior_S: shares of the domains, such as of their tokens [S].
            bound_S: largest weight of each domain [S].
            n: how many mixtures.
            seed: of the draws.

        Raises:
            ValueError: the bounds leave no mixture, or too few are found within them.
        """
        check_bounds(bound_S)
        centre_S = prior_S**self.temper / (prior_S**self.temper).sum()
        strengths = np.geomspace(self.low, self.high, self.steps)
        rng = np.random.default_rng(seed)
        found_MS = np.empty((0, len(prior_S)), np.int64)
        for _ in range(TRIES):
            strength_M = rng.choice(strengths, max(n, SMALLEST_ROUND))
            new_MS = rounded(_dirichlet(strength_M[:, None] * centre_S, rng))
            new_MS = new_MS[(new_MS <= bound_S * UNITS + 1e-6).all(1)]
            found_MS = _distinct(np.vstack([found_MS, new_MS]))
            if len(found_MS) >= n:
                return found_MS[:n] / UNITS
        raise ValueError(
            f"bounds: expected {n} mixtures within {np.round(bound_S, 3).tolist()}, found only "
            f"{len(found_MS)} in {TRIES * max(n, SMALLEST_ROUND)} draws; allow more epochs, or ask "
            "for fewer"
        )


def check_bounds(bound_S: ndarray) -> None:
    """Refuses bounds that no mixture keeps.

    Raises:
        ValueError: they sum to less than one.
    """
    if bound_S.sum() < 1:
        raise ValueError(
            f"bounds: expected a sum of at least 1, got {np.round(bound_S, 3).tolist()}: the data "
            "does not last for the budget; allow more epochs, or train on fewer tokens"
        )


def epoch_bounds(tokens_S: Sequence[int], budget: int, epochs: float) -> ndarray:
    """The largest weight of each domain [S], so that none is read more than `epochs` times."""
    return np.minimum(epochs * np.asarray(tokens_S, float) / budget, 1.0)


def rounded(weights_MS: ndarray) -> ndarray:
    """The weights in whole units that sum to `UNITS`, each less than one unit off [M, S]."""
    scaled_MS = weights_MS * UNITS
    units_MS = np.floor(scaled_MS).astype(np.int64)
    missing_M = UNITS - units_MS.sum(1)
    rest_MS = scaled_MS - units_MS
    place_MS = np.argsort(np.argsort(-rest_MS, axis=1, kind="stable"), axis=1)
    return units_MS + (place_MS < missing_M[:, None])


def _dirichlet(alpha_MS: ndarray, rng: np.random.Generator) -> ndarray:
    """One draw per row of parameters [M, S]; rows whose numbers are too small to hold are left."""
    gamma_MS = rng.standard_gamma(alpha_MS)
    gamma_MS = gamma_MS[gamma_MS.sum(1) > 0]
    return gamma_MS / gamma_MS.sum(1, keepdims=True)


def _distinct(rows_MS: ndarray) -> ndarray:
    """The rows in their order, each once."""
    _, first = np.unique(rows_MS, axis=0, return_index=True)
    return rows_MS[np.sort(first)]
