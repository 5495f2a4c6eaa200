"""Power law of one quantity down to a constant.

    L = a X^b + c,  b < 0

Source: Henighan et al. 2020, arXiv 2010.14701, equation 1.1; in this form for widths of a muP
ladder, Yao and Wang 2023, arXiv 2304.06875 (mu-Scaling).

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (-1.5, -1.0, -0.7, -0.45, -0.3, -0.2, -0.1, -0.03)
CONSTANT_SHARES = (0.0, 0.3, 0.6, 0.8, 0.9, 0.97)


@dataclass(frozen=True)
class PowerLawConstant:
    """L = a X^b + c over one column, usually the number of parameters N."""

    column: str = "N"
    response = "L"
    constant = "c"
    coefficients = (
        Coefficient("a", "reducible loss in nats at one unit of the column", 0.0, np.inf),
        Coefficient("b", "exponent: how fast the reducible loss falls", -3.0, 0.0),
        Coefficient("c", "loss in nats of an infinite model", 0.0, np.inf),
    )

    @property
    def name(self) -> str:
        """Its name; the column belongs to it where it is not N."""
        return "power_law_constant" if self.column == "N" else f"power_law_constant:{self.column}"

    @property
    def formula(self) -> str:
        """The law in words."""
        return f"L = a {self.column}^b + c"

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
        a_S1, b_S1, c_S1 = (theta_SP[:, [i]] for i in range(3))
        return a_S1 * np.exp(b_S1 * np.log(x[self.column])) + c_S1

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        a_S1, b_S1 = theta_SP[:, [0]], theta_SP[:, [1]]
        log_M = np.log(x[self.column])
        power_SM = np.exp(b_S1 * log_M)
        return np.stack([power_SM, a_S1 * power_SM * log_M, np.ones_like(power_SM)], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """One start per exponent and share of the smallest loss that is constant [S, P]."""
        b_S, share_S = np.array(list(product(EXPONENTS, CONSTANT_SHARES))).T
        c_S = share_S * loss_M.min()
        power_SM = np.exp(b_S[:, None] * np.log(x[self.column]))
        a_S = (loss_M.mean() - c_S) / power_SM.mean(axis=1)
        return np.stack([a_S, b_S, c_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the column as it is, from those for column / unit."""
        a_S, b_S, c_S = theta_SP.T
        return np.stack([a_S * units[self.column] ** -b_S, b_S, c_S], axis=-1)
