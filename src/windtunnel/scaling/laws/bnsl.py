"""The broken neural scaling law: a power law whose exponent changes smoothly at each break.

    L = a + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i)

Far below d_1 the reducible part falls with exponent c_0, past d_i with c_0 + ... + c_i.

Source: Caballero et al. 2022, arXiv 2210.14891, equation 1.

Axes: S sets of coefficients, M points, P coefficients, n breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray
from scipy.special import expit

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.05, 0.2, 0.6)
CHANGES = (-0.15, 0.15, 0.5)
PLACES = (0.25, 0.5, 0.75)
WIDTHS = (0.2, 0.8)
CONSTANT_SHARES = (0.0, 0.5, 0.9)
LEAST = 1e-9  # a logarithm of d_i stands in the law: it stays above 0
NARROWEST, WIDEST = 0.01, 5.0  # a narrower break is a jump, a wider one a change of exponent


@dataclass(frozen=True)
class Bnsl:
    """A power law of one column with `n_breaks` breaks, down to a constant."""

    column: str = "N"
    n_breaks: int = 1
    response = "L"
    constant = "a"

    def __post_init__(self) -> None:
        if self.n_breaks < 1:
            raise ValueError(
                f"bnsl: expected 1 or more breaks; got {self.n_breaks}: without one, fit "
                "power_law_constant"
            )

    @property
    def name(self) -> str:
        """Its name; column and breaks belong to it where they are not the usual ones."""
        options = [self.column, str(self.n_breaks)][: 2 if self.n_breaks > 1 else 1]
        return "bnsl" if options == ["N"] else ":".join(["bnsl", *options])

    @property
    def formula(self) -> str:
        """The law in words."""
        X = self.column
        breaks = [f"(1 + ({X} / d_{i})^(1 / f_{i}))^(-c_{i} f_{i})" for i in self._breaks]
        return f"L = a + b {X}^-c_0 " + " ".join(breaks)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the law needs."""
        return (self.column,)

    @property
    def unit_groups(self) -> tuple[tuple[str, ...], ...]:
        """The column has a unit of its own."""
        return ((self.column,),)

    @property
    def coefficients(self) -> tuple[Coefficient, ...]:
        """Those of the power law, and three per break."""
        found = [
            Coefficient("a", "loss in nats at an infinite column", 0.0, np.inf),
            Coefficient("b", "reducible loss in nats at one unit, were there no break", 0, np.inf),
            Coefficient("c_0", "exponent before the first break", -3.0, 3.0),
        ]
        for i in self._breaks:
            found += [
                Coefficient(f"d_{i}", f"where break {i} is, in the column's unit", LEAST, np.inf),
                Coefficient(f"c_{i}", f"what break {i} adds to the exponent", -5.0, 5.0),
                Coefficient(
                    f"f_{i}", f"width of break {i} in log {self.column}", NARROWEST, WIDEST
                ),
            ]
        return tuple(found)

    @property
    def _breaks(self) -> range:
        return range(1, self.n_breaks + 1)

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        return theta_SP[:, [0]] + theta_SP[:, [1]] * _power(theta_SP, np.log(x[self.column]))

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        log_M = np.log(x[self.column])
        power_SM = _power(theta_SP, log_M)
        fall_SM = theta_SP[:, [1]] * power_SM
        parts = [np.ones_like(power_SM), power_SM, -fall_SM * log_M]
        for i in range(3, theta_SP.shape[1], 3):
            d_S1, c_S1, f_S1 = (theta_SP[:, [i + j]] for j in range(3))
            z_SM = (log_M - np.log(d_S1)) / f_S1
            past_SM, level_SM = expit(z_SM), np.logaddexp(0, z_SM)
            by_f_SM = -fall_SM * c_S1 * (level_SM - z_SM * past_SM)
            parts += [fall_SM * c_S1 * past_SM / d_S1, -fall_SM * f_S1 * level_SM, by_f_SM]
        return np.stack(parts, axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over exponents, place and width of the breaks, and the constant [S, P].

        Several breaks start equally wide and equally strong, spread over the column's range.
        """
        log_M = np.log(x[self.column])
        axes = (EXPONENTS, CHANGES, PLACES, WIDTHS, CONSTANT_SHARES)
        rows = []
        for c_0, change, place, width, share in product(*axes):
            places = (np.arange(self.n_breaks) + place) / self.n_breaks
            d = np.exp(log_M.min() + places * np.ptp(log_M))
            breaks = [value for each in d for value in (each, change, width)]
            rows.append([share * loss_M.min(), 1.0, c_0, *breaks])
        start_SP = np.array(rows)
        start_SP[:, 1] = (loss_M.mean() - start_SP[:, 0]) / _power(start_SP, log_M).mean(axis=1)
        return start_SP

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the column as it is, from those for column / unit."""
        found_SP = theta_SP.copy()
        found_SP[:, 1] *= units[self.column] ** theta_SP[:, 2]
        found_SP[:, 3::3] *= units[self.column]
        return found_SP


def _power(theta_SP: ndarray, log_M: ndarray) -> ndarray:
    """The reducible loss over b [S, M]."""
    log_SM = -theta_SP[:, [2]] * log_M
    for i in range(3, theta_SP.shape[1], 3):
        d_S1, c_S1, f_S1 = (theta_SP[:, [i + j]] for j in range(3))
        log_SM = log_SM - c_S1 * f_S1 * np.logaddexp(0, (log_M - np.log(d_S1)) / f_S1)
    return np.exp(log_SM)
