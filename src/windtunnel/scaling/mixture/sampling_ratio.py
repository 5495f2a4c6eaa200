"""The loss of one language as a power of its share of the sampling.

    L = L* p^-gamma,    ln L = ln L* - gamma ln p

at one size and one number of tokens of all languages together: the law of `laws.multilingual` with
what depends on N and D taken as one number L*, the loss of the language alone. A straight line in
logarithms gives both, with Student's interval for gamma.

Source: He et al. 2024, arXiv 2410.12883.

Axes: M runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Ratio:
    """gamma with the ends of its interval; L* in nats; root mean square of the errors in ln L."""

    gamma: float
    low: float
    high: float
    alone: float
    rms_log: float

    def loss(self, share: float) -> float:
        """Loss in nats of the language at a share above 0."""
        return self.alone * share**-self.gamma


def fit_ratio(share_M: ndarray, loss_M: ndarray, level: float) -> Ratio:
    """The line through the logarithms of shares and losses.

    Raises:
        ValueError: there are fewer than three runs, or all have the same share.
    """
    if len(share_M) < 3 or np.ptp(share_M) == 0:
        raise ValueError(
            f"shares: expected at least 3 runs with shares that differ, got {share_M.tolist()}; "
            "try other ratios"
        )
    x_M, y_M = np.log(share_M), np.log(loss_M)
    centred_M = x_M - x_M.mean()
    slope = centred_M @ y_M / (centred_M @ centred_M)
    error_M = y_M - y_M.mean() - slope * centred_M
    freedom = len(x_M) - 2
    variance = error_M @ error_M / freedom / (centred_M @ centred_M)
    half = float(stdtrit(freedom, (1 + level) / 2)) * np.sqrt(variance)
    alone = np.exp(y_M.mean() - slope * x_M.mean())
    rms = np.sqrt(np.mean(error_M**2))
    return Ratio(
        float(-slope), float(-slope - half), float(-slope + half), float(alone), float(rms)
    )
