"""The joint law of parameters and training tokens.

    L = E + A / N^alpha + B / D^beta

Source: Hoffmann et al. 2022, arXiv 2203.15556, equation 2 and appendix D.3.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.1, 0.25, 0.45, 0.8, 1.3)
CONSTANT_SHARES = (0.0, 0.4, 0.7, 0.9)
SHARES_OF_N = (0.15, 0.5, 0.85)


@dataclass(frozen=True)
class Chinchilla:
    """L = E + A / N^alpha + B / D^beta."""

    name = "chinchilla"
    formula = "L = E + A / N^alpha + B / D^beta"
    columns = ("N", "D")
    unit_groups = (("N",), ("D",))
    response = "L"
    constant = "E"
    coefficients = (
        Coefficient("A", "loss in nats that one parameter would leave", 0.0, np.inf),
        Coefficient("B", "loss in nats that one training token would leave", 0.0, np.inf),
        Coefficient("E", "loss in nats of an infinite model on infinite data", 0.0, np.inf),
        Coefficient("alpha", "exponent of the parameters", 0.0, 3.0),
        Coefficient("beta", "exponent of the training tokens", 0.0, 3.0),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        A_S1, B_S1, E_S1, alpha_S1, beta_S1 = (theta_SP[:, [i]] for i in range(5))
        parameters_SM = A_S1 * np.exp(-alpha_S1 * np.log(x["N"]))
        return E_S1 + parameters_SM + B_S1 * np.exp(-beta_S1 * np.log(x["D"]))

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        A_S1, B_S1, _, alpha_S1, beta_S1 = (theta_SP[:, [i]] for i in range(5))
        log_N_M, log_D_M = np.log(x["N"]), np.log(x["D"])
        N_SM, D_SM = np.exp(-alpha_S1 * log_N_M), np.exp(-beta_S1 * log_D_M)
        by_alpha_SM, by_beta_SM = -A_S1 * N_SM * log_N_M, -B_S1 * D_SM * log_D_M
        return np.stack([N_SM, D_SM, np.ones_like(N_SM), by_alpha_SM, by_beta_SM], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over exponents, the constant, and N's share of the reducible loss [S, P]."""
        grid = list(product(EXPONENTS, EXPONENTS, CONSTANT_SHARES, SHARES_OF_N))
        alpha_S, beta_S, constant_S, share_S = np.array(grid).T
        E_S = constant_S * loss_M.min()
        reducible_S = loss_M.mean() - E_S
        N_S = np.exp(-alpha_S[:, None] * np.log(x["N"])).mean(axis=1)
        D_S = np.exp(-beta_S[:, None] * np.log(x["D"])).mean(axis=1)
        A_S, B_S = share_S * reducible_S / N_S, (1 - share_S) * reducible_S / D_S
        return np.stack([A_S, B_S, E_S, alpha_S, beta_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        A_S, B_S, E_S, alpha_S, beta_S = theta_SP.T
        A_S, B_S = A_S * units["N"] ** alpha_S, B_S * units["D"] ** beta_S
        return np.stack([A_S, B_S, E_S, alpha_S, beta_S], axis=-1)
