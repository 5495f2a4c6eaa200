"""Gadre's law of the downstream error, which rises with the loss up to that of a guess.

    error = epsilon - k exp(-gamma L)

The error is a mean over tasks; it is fitted by least squares on the error.

Source: Gadre et al. 2024, arXiv 2403.08540, equation 5.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.5, 1.5, 4.0, 10.0)
MARGINS = (0.01, 0.1, 0.5, 2.0)


@dataclass(frozen=True)
class Error:
    """error = epsilon - k exp(-gamma L)."""

    name = "error"
    formula = "error = epsilon - k exp(-gamma L)"
    columns = ("L",)
    unit_groups = (("L",),)
    response = "error"
    constant = None
    coefficients = (
        Coefficient("epsilon", "error of a model that guesses", 0.0, 1.0),
        Coefficient("k", "what a loss of zero nats would take off the error", 0.0, np.inf),
        Coefficient("gamma", "exponent per nat: how fast the error falls with the loss", 0, np.inf),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Error [S, M]."""
        epsilon_S1, k_S1, gamma_S1 = (theta_SP[:, [i]] for i in range(3))
        return epsilon_S1 - k_S1 * np.exp(-gamma_S1 * x["L"])

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the error by each coefficient [S, M, P]."""
        k_S1, gamma_S1 = theta_SP[:, [1]], theta_SP[:, [2]]
        fall_SM = np.exp(-gamma_S1 * x["L"])
        return np.stack([np.ones_like(fall_SM), -fall_SM, k_S1 * fall_SM * x["L"]], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over the exponent, and how far the guess's error lies above the runs' [S, P].

        Args:
            x: the losses in nats, by the name `L`.
            loss_M: the errors [M].
        """
        steepness_S, margin_S = np.array(list(product(EXPONENTS, MARGINS))).T
        gamma_S = steepness_S / np.ptp(x["L"])
        epsilon_S = np.minimum(loss_M.max() + margin_S * np.ptp(loss_M), 1.0)
        fall_S = np.exp(-gamma_S[:, None] * x["L"]).mean(axis=1)
        return np.stack([epsilon_S, (epsilon_S - loss_M.mean()) / fall_S, gamma_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the column as it is, from those for column / unit."""
        return theta_SP * np.array([1.0, 1.0, 1 / units["L"]])
