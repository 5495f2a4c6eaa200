"""What a fitted law is measured against: naive baselines, and its own score on the largest runs.

    copy the largest      the target's loss is that of the largest fitted design
    power law             the fit of L = a X^b, without a constant
    leave largest out     fit without the largest design, predict it, compare

Axes: M runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.objective import LossKind


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
