"""A loss that is linear in the weights, their roots and their logarithms, with a penalty.

    L(w) = b + sum_s (a_s w_s + r_s sqrt w_s + l_s ln(w_s + 0.01))

minimises the squared error plus `penalty` times the sum of a^2 + r^2 + l^2; b is free. A domain's
first tokens may then count more than its later ones, so that the best mixture is no corner.

Source: ridge regression, Hoerl and Kennard 1970; the features are our own.

Axes: M mixtures, S domains, P features.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.surrogate import Predict

FLOOR = 0.01  # of the logarithm: a domain without a token still has a loss


class Ridge:
    """Penalised least squares on curved features of the weights."""

    def __init__(self, *, penalty: float) -> None:
        if not penalty > 0:
            raise ValueError(
                f"penalty: expected above 0, got {penalty}; use least squares, or raise it"
            )
        self.penalty = penalty

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """The coefficients in closed form, on centred features."""
        features_MP = features(weights_MS)
        mean_P, mean = features_MP.mean(0), loss_M.mean()
        centred_MP = features_MP - mean_P
        square_PP = centred_MP.T @ centred_MP + self.penalty * np.eye(centred_MP.shape[1])
        slope_P = np.linalg.solve(square_PP, centred_MP.T @ (loss_M - mean))
        return lambda new_MS: mean + (features(new_MS) - mean_P) @ slope_P


def features(weights_MS: ndarray) -> ndarray:
    """The weights, their roots and their logarithms [M, 3 S]."""
    return np.hstack([weights_MS, np.sqrt(weights_MS), np.log(weights_MS + FLOOR)])
