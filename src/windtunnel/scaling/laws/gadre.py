"""Gadre's law of over-training: how far past the compute-optimal number of tokens a model goes.

    L = E + (a M^eta + b M^-eta) C^-eta,   M = D / N,   C = 6 N D

It is Chinchilla's law with equal exponents 2 eta, and needs few runs:

    L = E + a (6 N^2)^-eta + b (6 D^2)^-eta

Source: Gadre et al. 2024, arXiv 2403.08540, equation 4.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

FLOPS_FACTOR = 6.0  # C = 6 N D, Kaplan et al. 2020, arXiv 2001.08361, section 2.1
EXPONENTS = (0.03, 0.08, 0.14, 0.25, 0.45, 0.8)
CONSTANT_SHARES = (0.0, 0.3, 0.6, 0.8, 0.95)
SHARES_OF_N = (0.15, 0.5, 0.85)


@dataclass(frozen=True)
class Gadre:
    """L = E + (a M^eta + b M^-eta) C^-eta in N and D."""

    name = "gadre"
    formula = "L = E + (a M^eta + b M^-eta) C^-eta, M = D / N, C = 6 N D"
    columns = ("N", "D")
    unit_groups = (("N",), ("D",))
    response = "L"
    constant = "E"
    coefficients = (
        Coefficient(
            "a", "loss in nats that too small a model leaves, at M and C of one", 0, np.inf
        ),
        Coefficient("b", "loss in nats that too few tokens leave, at M and C of one", 0, np.inf),
        Coefficient("eta", "exponent of the compute", 0.0, 1.5),
        Coefficient("E", "loss in nats of an infinite model on infinite data", 0.0, np.inf),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        a_S1, b_S1, eta_S1, E_S1 = (theta_SP[:, [i]] for i in range(4))
        log_N_M, log_D_M = _log_squares(x)
        return E_S1 + a_S1 * np.exp(-eta_S1 * log_N_M) + b_S1 * np.exp(-eta_S1 * log_D_M)

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        a_S1, b_S1, eta_S1, _ = (theta_SP[:, [i]] for i in range(4))
        log_N_M, log_D_M = _log_squares(x)
        N_SM, D_SM = np.exp(-eta_S1 * log_N_M), np.exp(-eta_S1 * log_D_M)
        by_eta_SM = -a_S1 * N_SM * log_N_M - b_S1 * D_SM * log_D_M
        return np.stack([N_SM, D_SM, by_eta_SM, np.ones_like(N_SM)], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over the exponent, the constant, and N's share of the reducible loss [S, P]."""
        grid = list(product(EXPONENTS, CONSTANT_SHARES, SHARES_OF_N))
        eta_S, constant_S, share_S = np.array(grid).T
        E_S = constant_S * loss_M.min()
        log_N_M, log_D_M = _log_squares(x)
        reducible_S = loss_M.mean() - E_S
        a_S = share_S * reducible_S / np.exp(-eta_S[:, None] * log_N_M).mean(axis=1)
        b_S = (1 - share_S) * reducible_S / np.exp(-eta_S[:, None] * log_D_M).mean(axis=1)
        return np.stack([a_S, b_S, eta_S, E_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        a_S, b_S, eta_S, E_S = theta_SP.T
        a_S, b_S = a_S * units["N"] ** (2 * eta_S), b_S * units["D"] ** (2 * eta_S)
        return np.stack([a_S, b_S, eta_S, E_S], axis=-1)


def _log_squares(x: Mapping[str, ndarray]) -> tuple[ndarray, ndarray]:
    log_6 = np.log(FLOPS_FACTOR)
    return log_6 + 2 * np.log(x["N"]), log_6 + 2 * np.log(x["D"])
