"""The best mixture by a fitted regressor: the mean of the best of many that are drawn.

A single best draw follows the regressor's errors; the mean of the best hundred less so. Where a
regressor is sure of more than the proxies showed, the answer lies at a bound or far from every
mixture that was trained, and both are said: a plane's best mixture is always a corner.

Source: Liu et al. 2024 (RegMix), arXiv 2407.01492, section 3 (100,000 draws, mean of the best 100).

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.surrogate import Predict

NEAR_BOUND = 0.98  # share of a bound from which on a weight lies at it
AT_ONCE = 10_000  # mixtures predicted together


@dataclass(frozen=True)
class Best:
    """The mixture [S], its predicted loss in nats, the domains whose weight lies at their bound,
    and the share of it that is placed otherwise than in the nearest mixture that was fitted."""

    weights_S: ndarray
    loss: float
    at_bound: list[int]
    away: float


def best_mixture(
    predict: Predict, candidates_MS: ndarray, top: int, bound_S: ndarray, fitted_MS: ndarray
) -> Best:
    """The mean of the `top` candidates with the lowest predicted losses.

    Args:
        predict: losses of mixtures, as fitted.
        candidates_MS: mixtures within the bounds [M, S].
        top: how many are averaged.
        bound_S: largest weight of each domain [S].
        fitted_MS: the mixtures that were trained [M, S].

    Raises:
        ValueError: there are fewer candidates than are averaged.
    """
    if not 1 <= top <= len(candidates_MS):
        raise ValueError(
            f"top: expected from 1 to the {len(candidates_MS)} candidates, got {top}; lower it"
        )
    starts = range(0, len(candidates_MS), AT_ONCE)
    loss_M = np.concatenate([predict(candidates_MS[i : i + AT_ONCE]) for i in starts])
    weights_S = candidates_MS[np.argsort(loss_M, kind="stable")[:top]].mean(0)
    away_M = np.abs(fitted_MS - weights_S).sum(1) / 2
    return Best(
        weights_S,
        float(predict(weights_S[None])[0]),
        np.flatnonzero(weights_S >= NEAR_BOUND * bound_S).tolist(),
        float(away_M.min()),
    )
