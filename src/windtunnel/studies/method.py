"""How a study fits laws and draws intervals: the settings of `scaling`, bound once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.compare import baselines, leave_largest_out
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.interval import Band, Prediction, band, coefficient_intervals, predict
from windtunnel.scaling.interval import Method as IntervalMethod
from windtunnel.scaling.objective import LossKind


@dataclass(frozen=True)
class Method:
    """Settings of fits and intervals.

    loss_kind: what a fit minimises. delta: where Huber's cost turns linear, None for least
    squares. interval: how intervals are drawn. level: probability that they claim. n_resamples: of
    a bootstrap. seed: of a bootstrap.
    """

    loss_kind: LossKind
    delta: float | None
    interval: IntervalMethod
    level: float
    n_resamples: int
    seed: int

    def fit(self, law: Law, x: Mapping[str, ndarray], loss_M: ndarray) -> Fit:
        """Fits `law` to losses in nats at the points `x`."""
        return fit(law, x, loss_M, loss_kind=self.loss_kind, delta=self.delta)

    def predict(self, fitted: Fit, x: Mapping[str, float], n_target_seeds: int) -> Prediction:
        """The loss of a run not yet made, averaged over `n_target_seeds`, with its interval."""
        return predict(fitted, x, n_target_seeds=n_target_seeds, **self._settings())

    def band(self, fitted: Fit, x: Mapping[str, ndarray]) -> Band:
        """The curve, and the interval of one run, at each point."""
        return band(fitted, x, n_target_seeds=1, **self._settings())

    def coefficients(self, fitted: Fit) -> dict[str, tuple[float, float]]:
        """Interval of every coefficient of a fit."""
        found = coefficient_intervals(fitted, **self._settings())
        return {name: (ends[0], ends[1]) for name, ends in found.items()}

    def baselines(
        self, x: Mapping[str, ndarray], loss_M: ndarray, x_new: Mapping[str, float]
    ) -> dict[str, float]:
        """Losses in nats that simpler rules of N predict, by name."""
        return baselines(x, loss_M, x_new, "N", loss_kind=self.loss_kind, delta=self.delta)

    def leave_largest_out(
        self, law: Law, x: Mapping[str, ndarray], loss_M: ndarray
    ) -> dict[str, float] | None:
        """What the law fitted without the largest N says about it; None where too few are left."""
        found = leave_largest_out(law, x, loss_M, "N", loss_kind=self.loss_kind, delta=self.delta)
        if found is None:
            return None
        return {"predicted": found.predicted, "actual": found.actual, "error": found.error}

    def _settings(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "method": self.interval,
            "n_resamples": self.n_resamples,
            "seed": self.seed,
        }
