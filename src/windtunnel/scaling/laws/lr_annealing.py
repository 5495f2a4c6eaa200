"""Loss along a whole training curve, by the learning rates up to each step.

    L(s) = L_0 + A S1(s)^-alpha - C S2(s)

S1 is the forward area, the sum of the learning rates; S2 the annealing area, the sum of their falls
with momentum (`features` of `scaling/schedule.py`, whose decay lambda C belongs to). A row is one
step of one curve. S2 is 0 along a constant schedule, so one curve that anneals must be there, and
one that does not should be.

Source: Tissue et al. 2024, arXiv 2408.11029, equation 1.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.15, 0.3, 0.5, 0.8, 1.3)
CONSTANT_SHARES = (0.0, 0.4, 0.7, 0.85, 0.95)
GAINS = (0.0, 0.3)


@dataclass(frozen=True)
class LrAnnealing:
    """L = L_0 + A S1^-alpha - C S2."""

    name = "lr_annealing"
    formula = "L = L_0 + A S1^-alpha - C S2"
    columns = ("S1", "S2")
    unit_groups = (("S1",),)
    response = "L"
    constant = "L_0"
    coefficients = (
        Coefficient("L_0", "loss in nats of an endless training without annealing", 0.0, np.inf),
        Coefficient("A", "reducible loss in nats at a forward area of one", 0.0, np.inf),
        Coefficient("alpha", "exponent of the forward area", 0.0, 3.0),
        Coefficient("C", "loss in nats that an annealing area of one takes off", 0.0, np.inf),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        constant_S1, A_S1, alpha_S1, C_S1 = (theta_SP[:, [i]] for i in range(4))
        return constant_S1 + A_S1 * np.exp(-alpha_S1 * np.log(x["S1"])) - C_S1 * x["S2"]

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        A_S1, alpha_S1 = theta_SP[:, [1]], theta_SP[:, [2]]
        log_M = np.log(x["S1"])
        power_SM = np.exp(-alpha_S1 * log_M)
        ones_SM = np.ones_like(power_SM)
        return np.stack([ones_SM, power_SM, -A_S1 * power_SM * log_M, -ones_SM * x["S2"]], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over exponent, constant, and what annealing takes off the loss [S, P]."""
        grid = list(product(EXPONENTS, CONSTANT_SHARES, GAINS))
        alpha_S, share_S, gain_S = np.array(grid).T
        constant_S = share_S * loss_M.min()
        power_S = np.exp(-alpha_S[:, None] * np.log(x["S1"])).mean(axis=1)
        reducible_S = loss_M.mean() - constant_S
        C_S = gain_S * reducible_S / np.maximum(np.abs(x["S2"]).max(), np.finfo(float).tiny)
        A_S = (reducible_S + C_S * x["S2"].mean()) / power_S
        return np.stack([constant_S, A_S, alpha_S, C_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        constant_S, A_S, alpha_S, C_S = theta_SP.T
        return np.stack([constant_S, A_S * units["S1"] ** alpha_S, alpha_S, C_S], axis=-1)
