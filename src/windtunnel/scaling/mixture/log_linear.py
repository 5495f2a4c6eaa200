"""The data mixing law: what a mixture has still to teach falls off exponentially in its weights.

    L(w) = c + exp(sum_s t_s w_s)

c is a loss that no mixture goes below; a domain with a t below the others' helps. The law of the
source has a factor k before the exponential; as the weights sum to one it is ln k added to each t.

Fitted by least squares in nats: starts over c, at each of which ln(L - c) is linear, and from each
a search over c and t together.

Source: Ye et al. 2024 (Data Mixing Laws), arXiv 2403.16952, eq. 1.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy import optimize

from windtunnel.scaling.mixture.surrogate import Predict

STARTS = (0.0, 0.5, 0.8, 0.95)  # of c, as shares of the lowest loss
LARGEST = 50.0  # of an exponent: no loss in nats comes near e^50


@dataclass(frozen=True)
class LogLinear:
    """Has no settings."""

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """The best of the searches from all starts."""
        found = [_search(weights_MS, loss_M, share * loss_M.min()) for share in STARTS]
        theta = min(found, key=lambda search: search.cost).x
        return lambda new_MS: law(theta, new_MS)


def law(theta: ndarray, weights_MS: ndarray) -> ndarray:
    """Loss in nats [M]; `theta` holds c and then t [1 + S]."""
    return theta[0] + np.exp(np.minimum(weights_MS @ theta[1:], LARGEST))


def _search(weights_MS: ndarray, loss_M: ndarray, constant: float) -> optimize.OptimizeResult:
    """Least squares from a given c and the t that suit it."""
    above_M = loss_M - constant
    # An error e in L is e / (L - c) in its logarithm, so each row counts by L - c.
    start_S, *_ = np.linalg.lstsq(weights_MS * above_M[:, None], np.log(above_M) * above_M)
    unbounded_S = np.full(len(start_S), np.inf)

    def gradient(theta: ndarray) -> ndarray:
        slope_M = law(theta, weights_MS) - theta[0]
        return np.column_stack([np.ones_like(slope_M), slope_M[:, None] * weights_MS])

    return optimize.least_squares(
        lambda theta: law(theta, weights_MS) - loss_M,
        np.r_[constant, start_S],
        jac=gradient,  # type: ignore[arg-type]
        bounds=(np.r_[0.0, -unbounded_S], np.r_[loss_M.min(), unbounded_S]),
        x_scale="jac",
    )
