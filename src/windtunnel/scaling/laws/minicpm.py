"""MiniCPM's data-model law, and the model that it calls compute-optimal.

    L = C_N N^-alpha + C_D D^-beta + L_0

    N* / D* = K^2 (C / 6)^eta,   K = (alpha C_N / (beta C_D))^(1 / (alpha + beta)),
    eta = (beta - alpha) / (alpha + beta),   C = 6 N* D*

The form is Chinchilla's; it is fitted to the ends of decay branches from one long constant-rate run
per size, so that a row is a branch and not a run of its own.

Source: Hu et al. 2024, arXiv 2404.06395, section 4.5, equations 2 and 3.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.laws.chinchilla import Chinchilla

CHINCHILLA = Chinchilla()
FLOPS_FACTOR = 6.0  # C = 6 N D, Hu et al. 2024, arXiv 2404.06395, section 4.5


class Optimum(NamedTuple):
    """Parameters N and tokens D with the lowest loss for a budget, and the law's K and eta."""

    n_parameters: float
    n_tokens: float
    K: float
    eta: float


@dataclass(frozen=True)
class MiniCPM:
    """L = C_N N^-alpha + C_D D^-beta + L_0."""

    name = "minicpm"
    formula = "L = C_N N^-alpha + C_D D^-beta + L_0"
    columns = ("N", "D")
    unit_groups = (("N",), ("D",))
    response = "L"
    constant = "L_0"
    coefficients = (
        Coefficient("C_N", "loss in nats that one parameter would leave", 0.0, np.inf),
        Coefficient("C_D", "loss in nats that one training token would leave", 0.0, np.inf),
        Coefficient("L_0", "loss in nats of an infinite model on infinite data", 0.0, np.inf),
        *CHINCHILLA.coefficients[3:],
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        return CHINCHILLA.predict(theta_SP, x)

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        return CHINCHILLA.gradient(theta_SP, x)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """Those of Chinchilla's law [S, P]."""
        return CHINCHILLA.starts(x, loss_M)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        return CHINCHILLA.rescale(theta_SP, units)


def optimum(parameters: Mapping[str, float], flops: float) -> Optimum:
    """The compute-optimal model for `flops`, from coefficients in units of one.

    Raises:
        ValueError: a coefficient is zero, so that the optimum lies at infinity.
    """
    C_N, C_D, alpha, beta = (parameters[name] for name in ("C_N", "C_D", "alpha", "beta"))
    if min(C_N, C_D, alpha, beta) <= 0:
        raise ValueError(
            f"optimum: expected C_N, C_D, alpha and beta above 0; got {C_N:g}, {C_D:g}, {alpha:g} "
            f"and {beta:g}: vary both N and D over a wider range"
        )
    K = (alpha * C_N / (beta * C_D)) ** (1 / (alpha + beta))
    eta = (beta - alpha) / (alpha + beta)
    product = flops / FLOPS_FACTOR
    ratio = K**2 * product**eta
    return Optimum(float(np.sqrt(product * ratio)), float(np.sqrt(product / ratio)), K, eta)
