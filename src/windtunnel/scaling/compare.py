"""What a fitted law is measured against: naive baselines, and its own score on the largest runs.

    copy the largest      the target's loss is that of the largest fitted design
    power law             the fit of L = a X^b, without a constant
    leave largest out     fit without the largest design, predict it, compare
    held out              the same for any runs; by default the largest tenth of the designs

Laws are compared by the last, and never by how well they fit what they were fitted to.

Axes: M runs, k distinct sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.objective import LossKind

LARGEST_TENTH = 0.1  # of the designs, at least one
SIZES = ("N", "N_avg", "N_e", "N_d", "D", "C", "S1", "step")  # columns that make a run larger


@dataclass(frozen=True)
class Score:
    """Errors of predictions for runs that were not fitted: how many runs, the mean absolute
    relative error, and the largest with its sign."""

    rows: int
    mape: float
    max_error: float


@dataclass(frozen=True)
class HeldOut:
    """A predicted and a measured loss in nats."""

    predicted: float
    actual: float

    @property
    def error(self) -> float:
        """Ratio of the predicted to the measured loss, less one."""
        return self.predicted / self.actual - 1


def copy_largest(x: Mapping[str, ndarray], loss: ndarray, column: str) -> float:
    """Mean loss in nats of the runs whose `column` is largest."""
    size_M = np.asarray(x[column], float)
    return float(np.asarray(loss, float)[size_M == size_M.max()].mean())


def baselines(
    x: Mapping[str, ndarray],
    loss: ndarray,
    x_new: Mapping[str, float],
    column: str,
    *,
    loss_kind: LossKind,
    delta: float | None,
) -> dict[str, float]:
    """Loss in nats that each baseline predicts for `x_new`, by name; `column` is the size."""
    plain = fit(PowerLaw(column), x, loss, loss_kind=loss_kind, delta=delta)
    return {
        "copy_largest": copy_largest(x, loss, column),
        "power_law": float(plain.predict(x_new)[0]),
    }


def largest(law: Law, x: Mapping[str, ndarray]) -> ndarray:
    """Which runs belong to the largest tenth of the sizes [M].

    A run's size is the product of its parameters, tokens and whatever else makes it larger; for a
    law of the loss, one over it; for any other column, that column.
    """
    names = [name for name in law.columns if name in SIZES] or [law.columns[0]]
    size_M = np.sum([np.log(np.asarray(x[name], float)) for name in names], axis=0)
    size_M = -size_M if names == ["L"] else size_M
    size_k = np.unique(size_M)
    n_held = max(1, round(LARGEST_TENTH * len(size_k)))
    return size_M >= size_k[-n_held]


def score(fitted: Fit, x: Mapping[str, ndarray], loss: ndarray) -> Score:
    """How well a fitted law predicts runs that it was not fitted to."""
    error_M = fitted.predict(x) / loss - 1
    worst = float(error_M[np.argmax(np.abs(error_M))])
    return Score(len(error_M), float(np.mean(np.abs(error_M))), worst)


def held_out_score(
    law: Law,
    x: Mapping[str, ndarray],
    loss: ndarray,
    held_M: ndarray,
    *,
    loss_kind: LossKind,
    delta: float | None,
) -> Score:
    """How well the law fitted to the other runs predicts those where `held_M` holds.

    Raises:
        ValueError: the other runs are too few or too alike for the law.
    """
    rest = {c: x[c][~held_M] for c in law.columns}
    fitted = fit(law, rest, loss[~held_M], loss_kind=loss_kind, delta=delta)
    return score(fitted, {c: x[c][held_M] for c in law.columns}, loss[held_M])


def leave_largest_out(
    law: Law,
    x: Mapping[str, ndarray],
    loss: ndarray,
    column: str,
    *,
    loss_kind: LossKind,
    delta: float | None,
    weights: ndarray | None = None,
) -> HeldOut | None:
    """How well the law fitted to the other runs predicts those whose `column` is largest.

    Returns:
        mean predicted and mean measured loss of the runs left out; None where the runs that stay
        are too few for the law.
    """
    size_M, loss_M = np.asarray(x[column], float), np.asarray(loss, float)
    rest_M = size_M < size_M.max()
    small = {c: np.asarray(x[c], float)[rest_M] for c in law.columns}
    n_designs = len(np.unique(np.stack(list(small.values()), axis=1), axis=0))
    if n_designs < len(law.coefficients):
        return None
    weights_M = np.ones_like(loss_M) if weights is None else np.asarray(weights, float)
    fitted = fit(
        law, small, loss_M[rest_M], loss_kind=loss_kind, delta=delta, weights=weights_M[rest_M]
    )
    predicted_M = fitted.predict({c: np.asarray(x[c], float)[~rest_M] for c in law.columns})
    left_M = weights_M[~rest_M]
    return HeldOut(
        float(np.average(predicted_M, weights=left_M)),
        float(np.average(loss_M[~rest_M], weights=left_M)),
    )
