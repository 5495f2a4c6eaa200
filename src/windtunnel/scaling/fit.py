"""Fits a law to runs, and says how well.

Columns are divided by their geometric means before the search (`search.py`), so that the result
does not depend on their units; coefficients are reported in the units of the columns as given.

Source: the objectives, see `objective.py`; the noise, see `noise.py`.

Axes: S starts, M runs, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling import identify
from windtunnel.scaling.noise import Noise, estimate
from windtunnel.scaling.objective import SMALLEST_LOSS, LossKind, Objective, objective_of
from windtunnel.scaling.points import Points, check_points, columns_of, units_of
from windtunnel.scaling.search import Starts, has_converged, search
from windtunnel.scaling.solve import Problem, exact


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs.

    parameters: coefficients by name, in the units of the columns as given. errors: their standard
    errors by linear approximation, NaN on a bound. unidentified: coefficients that the data do not
    fix. value: the objective. rms, rms_log: root mean square residual in nats and in log loss.
    exact: whether the runs lie on the curve to rounding error. `scaled_P` holds the coefficients
    for the columns divided by `units`, which refits work in.
    """

    law: Law
    parameters: dict[str, float]
    errors: dict[str, float]
    unidentified: tuple[str, ...]
    value: float
    rms: float
    rms_log: float
    noise: Noise
    starts: Starts
    converged: bool
    exact: bool
    warnings: tuple[str, ...]
    points: Points = field(repr=False)
    objective: Objective = field(repr=False)
    units: dict[str, float] = field(repr=False)
    scaled_P: ndarray = field(repr=False)

    def predict(self, x: Mapping[str, ndarray | float]) -> ndarray:
        """The fitted curve in nats at points given in the units of the columns [M]."""
        return self.law.predict(self.scaled_P[None], self.scale(x))[0]

    def scale(self, x: Mapping[str, ndarray | float]) -> dict[str, ndarray]:
        """Columns in units of their geometric means over the fitted runs.

        Raises:
            ValueError: a column of the law is missing, or not above 0.
        """
        return {c: v / self.units[c] for c, v in columns_of(self.law, x).items()}

    def problem(self, loss_SM: ndarray) -> Problem:
        """The same fit to other losses [S, M] of the same runs."""
        x, weights_M = self.scale(self.points.x), self.points.weights_M
        return Problem(self.law, x, loss_SM, weights_M, self.objective)


def fit(
    law: Law,
    x: Mapping[str, ndarray],
    loss: ndarray,
    *,
    loss_kind: LossKind,
    delta: float | None,
    weights: ndarray | None = None,
    starts: ndarray | None = None,
) -> Fit:
    """Fits `law` to runs; seeds of one size are given as runs of their own, or averaged by weight.

    Args:
        law: what to fit.
        x: columns by name, each [M] and above 0.
        loss: loss of each run in nats [M].
        loss_kind: `least_squares` on the loss, or `huber_log` on its logarithm.
        delta: where Huber's cost turns linear, in log loss; None for least squares.
        weights: how many seeds each run averages [M]; None where each is one run.
        starts: where to start from, in the units of the columns [S, P]; None for the law's own.

    Raises:
        ValueError: a column is missing or unusable, or there are too few designs.
    """
    objective = objective_of(loss_kind, delta)
    points = check_points(law, x, loss, weights)
    units = units_of(law, points.x)
    scaled = {c: v / units[c] for c, v in points.x.items()}
    problem = Problem(law, scaled, points.loss_M[None], points.weights_M, objective)
    if starts is None:
        start_SP = law.starts(scaled, points.loss_M)
    else:
        start_SP = law.rescale(np.asarray(starts, float), {c: 1 / u for c, u in units.items()})
    scaled_P, counts = search(problem, start_SP)
    return _report(problem, points, units, scaled_P, counts)


def check_degrees(fit: Fit) -> None:
    """Refuses an interval where the noise cannot be estimated.

    Raises:
        ValueError: there are no more runs than coefficients.
    """
    if fit.noise.degrees < 1:
        raise ValueError(
            f"interval: expected more runs than coefficients ({len(fit.scaled_P)}), to estimate "
            f"the noise; got {len(fit.points.loss_M)} runs: add sizes or seeds"
        )


def _report(
    problem: Problem, points: Points, units: dict[str, float], scaled_P: ndarray, counts: Starts
) -> Fit:
    law, weights_M = problem.law, points.weights_M
    residual_M = problem.residual(scaled_P[None])[0]
    noise = estimate(residual_M, weights_M, points.design_M, len(scaled_P))
    theta_P = law.rescale(scaled_P[None], units)[0]
    natural = Problem(law, points.x, problem.loss_SM, weights_M, problem.objective)
    bound_P = identify.on_bound(law, scaled_P)
    errors = []
    for each, at_P in ((problem, scaled_P), (natural, theta_P)):
        jacobian_MP = each.jacobian(at_P[None])[0] * np.sqrt(weights_M)[:, None]
        errors.append(identify.standard_errors(jacobian_MP, noise.mean_square, bound_P))
    lost = identify.unidentified(law, scaled_P, errors[0], noise, points.loss_M)
    words = identify.warnings(law, scaled_P, lost, noise, points.loss_M)
    value = float(problem.value(scaled_P[None])[0])
    is_exact = value <= float(exact(problem)[0])
    if is_exact and noise.degrees > 0:
        words.append(
            "the runs lie on the curve to rounding error: there is no noise that an interval could "
            "be drawn from, so it has no width"
        )
    converged = has_converged(problem, scaled_P)
    if not converged:
        words.append("the fit did not converge: its coefficients are where it stopped")
    fitted_M = np.maximum(law.predict(scaled_P[None], problem.x)[0], SMALLEST_LOSS)
    names = [c.name for c in law.coefficients]
    return Fit(
        law=law,
        parameters=dict(zip(names, theta_P.tolist(), strict=True)),
        errors=dict(zip(names, errors[1].tolist(), strict=True)),
        unidentified=lost,
        value=value,
        rms=_rms(fitted_M - points.loss_M, weights_M),
        rms_log=_rms(np.log(fitted_M / points.loss_M), weights_M),
        noise=noise,
        starts=counts,
        converged=converged,
        exact=is_exact,
        warnings=tuple(words),
        points=points,
        objective=problem.objective,
        units=units,
        scaled_P=scaled_P,
    )


def _rms(residual_M: ndarray, weights_M: ndarray) -> float:
    return float(np.sqrt(weights_M @ residual_M**2 / weights_M.sum()))
