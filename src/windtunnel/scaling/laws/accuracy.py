"""Accuracy of a task as a sigmoid of the loss, and whether it depends on the loss at all.

    accuracy = floor + (ceiling - floor) / (1 + exp(k (L - L_mid)))

It is fitted by least squares on the accuracy; a ceiling below the floor is a task that gets worse
while the loss falls. Where accuracy does not move with the loss, floor, ceiling and slope cannot be
told apart and every fit is as good: `slope` then says so. It is the interval of the slope of the
straight line through the runs, and they are flat when it holds 0.

Source: the sigmoid, Grattafiori et al. 2024, arXiv 2407.21783, section 3.2.1. Tasks that stay flat
while the loss falls by a third are usual at small sizes, which is why the test is there.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy import stats
from scipy.special import expit

from windtunnel.interfaces import Coefficient

STEEPNESSES = (0.5, 2.0, 6.0, 20.0)
MIDPOINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
MARGINS = (0.0, 0.5, 2.0)
FEWEST = 3
STEEPEST = 100.0  # a rise within a few hundredths of a nat is a step between two runs
ROUNDING = 1e-12


class Slope(NamedTuple):
    """Change of accuracy per nat, the ends of its interval, and whether that holds 0."""

    value: float
    low: float
    high: float
    flat: bool


@dataclass(frozen=True)
class Accuracy:
    """accuracy = floor + (ceiling - floor) / (1 + exp(k (L - L_mid)))."""

    name = "accuracy"
    formula = "accuracy = floor + (ceiling - floor) / (1 + exp(k (L - L_mid)))"
    columns = ("L",)
    unit_groups = (("L",),)
    response = "accuracy"
    constant = None
    coefficients = (
        Coefficient("floor", "accuracy of a model that knows nothing of the task", 0.0, 1.0),
        Coefficient("ceiling", "accuracy that no loss, however low, exceeds", 0.0, 1.0),
        Coefficient("k", "steepness per nat at the middle of the rise", 0.0, STEEPEST),
        Coefficient("L_mid", "loss in nats at the middle of the rise", 0.0, np.inf),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Accuracy [S, M]."""
        floor_S1, ceiling_S1, k_S1, middle_S1 = (theta_SP[:, [i]] for i in range(4))
        return floor_S1 + (ceiling_S1 - floor_S1) * expit(k_S1 * (middle_S1 - x["L"]))

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the accuracy by each coefficient [S, M, P]."""
        floor_S1, ceiling_S1, k_S1, middle_S1 = (theta_SP[:, [i]] for i in range(4))
        share_SM = expit(k_S1 * (middle_S1 - x["L"]))
        slope_SM = (ceiling_S1 - floor_S1) * share_SM * (1 - share_SM)
        by_k_SM = slope_SM * (middle_S1 - x["L"])
        return np.stack([1 - share_SM, share_SM, by_k_SM, slope_SM * k_S1], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over steepness, middle, and how far floor and ceiling lie beyond the runs [S, P].

        Args:
            x: the losses in nats, by the name `L`.
            loss_M: the accuracies [M].
        """
        grid = list(product(STEEPNESSES, MIDPOINTS, MARGINS, MARGINS))
        steepness_S, place_S, below_S, above_S = np.array(grid).T
        low, span = x["L"].min(), np.ptp(x["L"])
        rise = np.ptp(loss_M)
        floor_S = np.maximum(loss_M.min() - below_S * rise, 0.0)
        ceiling_S = np.minimum(loss_M.max() + above_S * rise, 1.0)
        return np.stack([floor_S, ceiling_S, steepness_S / span, low + place_S * span], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the column as it is, from those for column / unit."""
        return theta_SP * np.array([1.0, 1.0, 1 / units["L"], units["L"]])


def slope(loss: ndarray, accuracy: ndarray, level: float) -> Slope:
    """The slope of the straight line through the runs, with Student's interval.

    Args:
        loss: loss of each run in nats [M].
        accuracy: accuracy of each run [M].
        level: probability that the interval holds the slope.

    Raises:
        ValueError: there are too few runs, or all have the same loss.
    """
    loss_M, accuracy_M = np.asarray(loss, float), np.asarray(accuracy, float)
    if len(loss_M) < FEWEST or np.ptp(loss_M) == 0:
        raise ValueError(
            f"slope: expected {FEWEST} or more runs whose losses differ; got {loss_M.tolist()}: "
            "add models of other sizes"
        )
    centred_M = loss_M - loss_M.mean()
    value = float(centred_M @ accuracy_M / (centred_M @ centred_M))
    residual_M = accuracy_M - accuracy_M.mean() - value * centred_M
    degrees = len(loss_M) - 2
    variance = residual_M @ residual_M / degrees / (centred_M @ centred_M)
    rounding = ROUNDING * np.abs(accuracy_M).max() / np.ptp(loss_M)
    half = float(stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(variance) + rounding)
    return Slope(value, value - half, value + half, abs(value) <= half)
