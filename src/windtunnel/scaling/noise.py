"""How much runs scatter around a fitted law, and how much of that is their seed.

With residuals r on M runs (each of weight w, the number of seeds it averages), k distinct designs
(such as widths) and P coefficients:

    residual     s^2 = sum w r^2 / (M - P)                        no design repeated
    pure error   s_e^2 = sum w (r - mean of its design)^2 / (M - k)
    lack of fit  s_l^2 = sum_designs W (mean)^2 / (k - P),        W the summed weight of a design

Where designs are repeated and s_l^2 / s_e^2 lies above the 90 % point of its F distribution, the
law misses the designs by more than seeds explain: s_l^2 with k - P degrees of freedom is the noise
of the fit ("lack_of_fit"), and a new design has its own miss besides its seed. Otherwise both are
pooled into sum w r^2 / (M - P) ("pooled").

Source: Draper and Smith, Applied Regression Analysis, 3rd ed. 1998, section 2.1. The 90 % point is
our choice: it errs towards the wide interval.

Axes: M runs, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import ndarray
from scipy import stats

F_QUANTILE = 0.9


@dataclass(frozen=True)
class Noise:
    """Variances on the scale of the objective, for a run of weight one.

    mean_square: variance that the fit's coefficients are uncertain by. degrees: its degrees of
    freedom. within: variance by seed. between: variance of what the law misses a design by.
    runs_per_design: summed weight behind a design, on average. source: how it was estimated.
    """

    mean_square: float
    degrees: int
    within: float
    between: float
    runs_per_design: float
    source: Literal["residual", "pooled", "lack_of_fit"]

    def target_variance(self, n_seeds: int) -> float:
        """Variance of the mean of `n_seeds` runs of a new design around the true curve.

        Without repeated designs the seed cannot be told from a miss of the law, so averaging more
        seeds than stand behind a fitted design is not credited.
        """
        if self.source == "residual":
            return self.within / min(n_seeds, max(self.runs_per_design, 1.0))
        return self.between + self.within / n_seeds


def estimate(residual_M: ndarray, weights_M: ndarray, design_M: ndarray, n_P: int) -> Noise:
    """Noise from residuals of a fit with `n_P` coefficients; NaN without degrees of freedom.

    Args:
        residual_M: residuals on the scale of the objective [M].
        weights_M: how many seeds each run averages [M].
        design_M: index of the design of each run, from 0 [M].
        n_P: how many coefficients were fitted.
    """
    n_M, n_k = len(residual_M), int(design_M.max()) + 1
    weight_k = np.bincount(design_M, weights_M)
    mean_k = np.bincount(design_M, weights_M * residual_M) / weight_k
    total = float(weights_M @ residual_M**2)
    runs = float(weight_k.mean())
    pooled = total / (n_M - n_P) if n_M > n_P else np.nan
    if n_M == n_k:
        return Noise(pooled, n_M - n_P, pooled, 0.0, runs, "residual")
    pure = float(weights_M @ (residual_M - mean_k[design_M]) ** 2) / (n_M - n_k)
    if n_k > n_P:
        lack = float(weight_k @ mean_k**2) / (n_k - n_P)
        if lack > pure * stats.f.ppf(F_QUANTILE, n_k - n_P, n_M - n_k):
            between = (lack - pure) / runs
            return Noise(lack, n_k - n_P, pure, between, runs, "lack_of_fit")
    return Noise(pooled, n_M - n_P, pooled, 0.0, runs, "pooled")


def simulate(
    noise: Noise, weights_M: ndarray, design_M: ndarray, n_R: int, rng: np.random.Generator
) -> ndarray:
    """Normal noise for every run in every resample [R, M]."""
    within_RM = rng.standard_normal((n_R, len(weights_M))) * np.sqrt(noise.within / weights_M)
    between_Rk = rng.standard_normal((n_R, int(design_M.max()) + 1)) * np.sqrt(noise.between)
    return within_RM + between_Rk[:, design_M]


def reshuffle(
    noise: Noise,
    residual_M: ndarray,
    weights_M: ndarray,
    design_M: ndarray,
    n_R: int,
    rng: np.random.Generator,
) -> ndarray:
    """Residuals drawn again for every run in every resample, widened to the noise's variances."""
    white_M = residual_M * np.sqrt(weights_M)
    if noise.source != "lack_of_fit":
        white_RM = _redraw(white_M, noise.within, n_R, len(white_M), rng)
        return white_RM / np.sqrt(weights_M)
    weight_k = np.bincount(design_M, weights_M)
    mean_k = np.bincount(design_M, weights_M * residual_M) / weight_k
    inner_M = (residual_M - mean_k[design_M]) * np.sqrt(weights_M)
    between_Rk = _redraw(mean_k, noise.between, n_R, len(mean_k), rng)
    within_RM = _redraw(inner_M, noise.within, n_R, len(inner_M), rng)
    return between_Rk[:, design_M] + within_RM / np.sqrt(weights_M)


def _redraw(
    values: ndarray, variance: float, n_R: int, n_draws: int, rng: np.random.Generator
) -> ndarray:
    centred = values - values.mean()
    spread = np.sqrt(np.mean(centred**2))
    scale = np.sqrt(variance) / spread if spread > 0 else 0.0
    return rng.choice(centred * scale, (n_R, n_draws))
