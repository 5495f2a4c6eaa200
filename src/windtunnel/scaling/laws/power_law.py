"""Power law of one quantity, which falls to zero.

    L = a X^b,  b < 0

Source: Kaplan et al. 2020, arXiv 2001.08361, equations 1.1 to 1.3, there written (X_c / X)^alpha.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (-1.0, -0.5, -0.25, -0.1, -0.03)


@dataclass(frozen=True)
class PowerLaw:
    """L = a X^b over one column, usually the number of parameters N."""

    column: str = "N"
    response = "L"
    constant = None
    coefficients = (
        Coefficient("a", "loss in nats at one unit of the column", 0.0, np.inf),
        Coefficient("b", "exponent: how fast the loss falls", -3.0, 0.0),
    )

    @property
    def name(self) -> str:
        """Its name; the column belongs to it where it is not N."""
        return "power_law" if self.column == "N" else f"power_law:{self.column}"

    @property
    def formula(self) -> str:
        """The law in words."""
        return f"L = a {self.column}^b"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the law needs."""
        return (self.column,)

    @property
    def unit_groups(self) -> tuple[tuple[str, ...], ...]:
        """The column has a unit of its own."""
        return ((self.column,),)

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        a_S1, b_S1 = theta_SP[:, [0]], theta_SP[:, [1]]
        return a_S1 * np.exp(b_S1 * np.log(x[self.column]))

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        a_S1, b_S1 = theta_SP[:, [0]], theta_SP[:, [1]]
        log_M = np.log(x[self.column])
        power_SM = np.exp(b_S1 * log_M)
        return np.stack([power_SM, a_S1 * power_SM * log_M], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """One start per exponent [S, P], with the amplitude that fits the mean loss."""
        b_S = np.array(EXPONENTS)
        power_SM = np.exp(b_S[:, None] * np.log(x[self.column]))
        return np.stack([loss_M.mean() / power_SM.mean(axis=1), b_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the column as it is, from those for column / unit."""
        a_S, b_S = theta_SP[:, 0], theta_SP[:, 1]
        return np.stack([a_S * units[self.column] ** -b_S, b_S], axis=-1)
