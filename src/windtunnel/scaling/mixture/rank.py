"""How well predicted losses order the measured ones.

Spearman's rho is the correlation of the ranks, ties sharing the mean of theirs. Its interval is the
percentile bootstrap over pairs: the rows are drawn again, with replacement.

Source: Spearman 1904; Efron and Tibshirani 1993, section 13.3.

Axes: M mixtures, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy.stats import rankdata


@dataclass(frozen=True)
class Rank:
    """Rho with the ends of its interval; all None where one side is constant."""

    rho: float | None
    low: float | None
    high: float | None
    level: float


def spearman(
    predicted_M: ndarray, actual_M: ndarray, *, level: float, n_resamples: int, seed: int
) -> Rank:
    """Rank correlation of two series, and its interval.

    Raises:
        ValueError: there are fewer than three pairs.
    """
    if len(actual_M) < 3:
        raise ValueError(
            f"spearman: expected at least 3 mixtures to compare ranks, got {len(actual_M)}; hold "
            "out more"
        )
    rho = _rho(predicted_M[None], actual_M[None])[0]
    if not np.isfinite(rho):
        return Rank(None, None, None, level)
    rows_RM = np.random.default_rng(seed).integers(0, len(actual_M), (n_resamples, len(actual_M)))
    rho_R = _rho(predicted_M[rows_RM], actual_M[rows_RM])
    low, high = np.nanquantile(rho_R, [(1 - level) / 2, (1 + level) / 2])
    return Rank(float(rho), float(low), float(high), level)


def _rho(first_RM: ndarray, second_RM: ndarray) -> ndarray:
    """Correlation of ranks, row by row [R]; NaN where a row is constant."""
    ranks = [rankdata(side_RM, axis=1) for side_RM in (first_RM, second_RM)]
    first_RM, second_RM = (rank_RM - rank_RM.mean(1, keepdims=True) for rank_RM in ranks)
    spread_R = np.sqrt((first_RM**2).sum(1) * (second_RM**2).sum(1))
    spread_R[spread_R == 0] = np.nan
    return (first_RM * second_RM).sum(1) / spread_R
