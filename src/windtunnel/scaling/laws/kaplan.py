"""Kaplan's joint law of parameters and training tokens, which falls to zero.

    L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D

Source: Kaplan et al. 2020, arXiv 2001.08361, equation 1.5; N counts no embeddings there.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.03, 0.08, 0.2, 0.5)
SHARES_OF_N = (0.15, 0.5, 0.85)
LEAST = 1e-9  # a power or logarithm of the coefficient stands in the law: it stays above 0


@dataclass(frozen=True)
class Kaplan:
    """L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D."""

    name = "kaplan"
    formula = "L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D"
    columns = ("N", "D")
    unit_groups = (("N",), ("D",))
    response = "L"
    constant = None
    coefficients = (
        Coefficient("N_c", "parameters that reach one nat on endless data", LEAST, np.inf),
        Coefficient("D_c", "tokens on which an endless model reaches one nat", LEAST, np.inf),
        Coefficient("alpha_N", "exponent of the parameters on endless data", LEAST, 3.0),
        Coefficient("alpha_D", "exponent of the tokens for an endless model", LEAST, 3.0),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        size_SM, data_SM = _terms(theta_SP, x)
        return (size_SM + data_SM) ** theta_SP[:, [3]]

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        N_c_S1, D_c_S1, alpha_N_S1, alpha_D_S1 = (theta_SP[:, [i]] for i in range(4))
        size_SM, data_SM = _terms(theta_SP, x)
        base_SM = size_SM + data_SM
        loss_SM, share_SM = base_SM**alpha_D_S1, size_SM / base_SM
        log_SM = np.log(N_c_S1) - np.log(x["N"])
        by_N_c_SM = loss_SM * share_SM * alpha_N_S1 / N_c_S1
        by_D_c_SM = loss_SM * (1 - share_SM) * alpha_D_S1 / D_c_S1
        by_alpha_D_SM = loss_SM * (np.log(base_SM) - share_SM * log_SM * alpha_N_S1 / alpha_D_S1)
        return np.stack([by_N_c_SM, by_D_c_SM, loss_SM * share_SM * log_SM, by_alpha_D_SM], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over both exponents, and N's share of the mean loss [S, P]."""
        grid = list(product(EXPONENTS, EXPONENTS, SHARES_OF_N))
        alpha_N_S, alpha_D_S, share_S = np.array(grid).T
        base_S = loss_M.mean() ** (1 / alpha_D_S)
        log_N, log_D = np.log(x["N"]).mean(), np.log(x["D"]).mean()
        N_c_S = np.exp(log_N + np.log(share_S * base_S) * alpha_D_S / alpha_N_S)
        return np.stack([N_c_S, (1 - share_S) * base_S * np.exp(log_D), alpha_N_S, alpha_D_S], -1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        return theta_SP * np.array([units["N"], units["D"], 1.0, 1.0])


def _terms(theta_SP: ndarray, x: Mapping[str, ndarray]) -> tuple[ndarray, ndarray]:
    N_c_S1, D_c_S1, alpha_N_S1, alpha_D_S1 = (theta_SP[:, [i]] for i in range(4))
    log_SM = np.log(N_c_S1) - np.log(x["N"])
    return np.exp(log_SM * alpha_N_S1 / alpha_D_S1), D_c_S1 / x["D"]
