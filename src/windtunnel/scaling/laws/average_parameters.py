"""The joint law for models that are pruned while they train: the parameters, averaged over tokens.

    L = E + A / N_avg^alpha + B / D^beta,   C = 6 N_avg D

N_avg is the number of parameters that are not zero, averaged over the training tokens. Where the
share of zeros rises from 0 to s between the shares `start` and `end` of the steps, as

    s (1 - (1 - r)^power),   r = (t - start) / (end - start)

(power 3 the cubic ramp, 1 the linear one), the mean density has the closed form

    1 - s ((end - start) power / (power + 1) + 1 - end)

Source: Jin et al. 2025, arXiv 2501.12486 (The Journey Matters); the cubic ramp, Zhu and Gupta 2017,
arXiv 1710.01878, equation 1.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.laws.chinchilla import Chinchilla

CHINCHILLA = Chinchilla()


@dataclass(frozen=True)
class AverageParameters:
    """L = E + A / N_avg^alpha + B / D^beta."""

    name = "average_parameters"
    formula = "L = E + A / N_avg^alpha + B / D^beta"
    columns = ("N_avg", "D")
    unit_groups = (("N_avg",), ("D",))
    response = "L"
    constant = "E"
    coefficients = (
        Coefficient("A", "loss in nats that one parameter, on average, would leave", 0.0, np.inf),
        *CHINCHILLA.coefficients[1:3],
        Coefficient("alpha", "exponent of the average number of parameters", 0.0, 3.0),
        CHINCHILLA.coefficients[4],
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        return CHINCHILLA.predict(theta_SP, _plain(x))

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        return CHINCHILLA.gradient(theta_SP, _plain(x))

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """Those of Chinchilla's law [S, P]."""
        return CHINCHILLA.starts(_plain(x), loss_M)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        return CHINCHILLA.rescale(theta_SP, {"N": units["N_avg"], "D": units["D"]})


def density(progress: ndarray, sparsity: float, start: float, end: float, power: float) -> ndarray:
    """Share of the parameters that are not zero, at each share of the steps.

    Args:
        progress: shares of the steps, from 0 to 1.
        sparsity: share of zeros at the end.
        start: share of the steps at which pruning starts.
        end: share of the steps at which it ends.
        power: 3 for a cubic ramp, 1 for a linear one.
    """
    ramp = np.clip((progress - start) / (end - start), 0.0, 1.0)
    return 1 - sparsity * (1 - (1 - ramp) ** power)


def mean_density(sparsity: float, start: float, end: float, power: float) -> float:
    """The mean of `density` over all steps; times the dense size it is N_avg."""
    return 1 - sparsity * ((end - start) * power / (power + 1) + 1 - end)


def _plain(x: Mapping[str, ndarray]) -> dict[str, ndarray]:
    return {"N": x["N_avg"], "D": x["D"]}
