"""Profile likelihood: how far a value can be pushed before the fit gets too bad.

With R(v) the least sum of weighted squares when the value is held at v, s^2 the noise with nu
degrees of freedom (`noise.py`), and t Student's quantile, the interval holds all v with

    R(v) - R_min <= t_nu^2 s^2

For a coefficient, v is the coefficient. For a prediction, v is the loss of the target, added to
the runs as one more of weight s^2 / (variance of the target): so the interval holds the target's
own noise, and is exactly Student's t interval where the law is linear. Where the runs lie on the
curve there is no noise, and both ends are the value itself.

Source: Bates and Watts, Nonlinear Regression Analysis and Its Applications, 1988, chapter 6; for a
new run, the predictive profile likelihood of Bjornstad, Statistical Science 5, 1990.

Axes: S values tried at once, M runs, P coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy import ndarray
from scipy import stats

from windtunnel.scaling.fit import Fit, check_degrees
from windtunnel.scaling.objective import LeastSquares
from windtunnel.scaling.solve import Problem, bounds, minimise

STEPS, TOLERANCE = 100, 1e-7
N_DOUBLINGS, N_NARROWINGS, FIRST_SHARE = 30, 8, 1e-2
SIDES = np.array([-1.0, 1.0])


def prediction_interval(
    fit: Fit, x_new: Mapping[str, float], level: float, n_seeds: int
) -> tuple[float, float]:
    """Lower and upper end for the mean loss in nats of `n_seeds` new runs at `x_new`.

    Raises:
        ValueError: the fit is not by least squares, or left no degree of freedom.
    """
    limit = _limit(fit, level)
    centre = float(fit.predict(x_new)[0])
    if fit.exact:
        return centre, centre
    old, new = fit.scale(fit.points.x), fit.scale(x_new)
    x = {c: np.append(old[c], new[c]) for c in old}
    weight = fit.noise.mean_square / fit.noise.target_variance(n_seeds)
    weights_M = np.append(fit.points.weights_M, weight)

    def excess(value_S: ndarray) -> ndarray:
        n_S = len(value_S)
        loss_SM = np.column_stack([np.tile(fit.points.loss_M, (n_S, 1)), value_S])
        problem = Problem(fit.law, x, loss_SM, weights_M, fit.objective)
        low_SP, high_SP = bounds(fit.law, n_S)
        return _least(problem, fit.scaled_P, low_SP, high_SP) - 2 * fit.value

    step = np.sqrt(limit / weight / 2)
    return _cross(excess, centre, step, limit, (-np.inf, np.inf))


def coefficient_interval(fit: Fit, name: str, level: float) -> tuple[float, float]:
    """Lower and upper end for one coefficient, in the units of the columns as given.

    Raises:
        ValueError: the fit is not by least squares, or left no degree of freedom.
    """
    limit = _limit(fit, level)
    if fit.exact:
        return fit.parameters[name], fit.parameters[name]
    index = [c.name for c in fit.law.coefficients].index(name)
    ends = fit.law.coefficients[index].low, fit.law.coefficients[index].high
    points, theta_P = fit.points, np.array(list(fit.parameters.values()))
    problem = Problem(fit.law, points.x, points.loss_M[None], points.weights_M, fit.objective)

    def excess(value_S: ndarray) -> ndarray:
        low_SP, high_SP = bounds(fit.law, len(value_S))
        low_SP[:, index] = high_SP[:, index] = value_S
        return _least(problem, theta_P, low_SP, high_SP) - 2 * fit.value

    step = FIRST_SHARE * max(abs(theta_P[index]), FIRST_SHARE)
    return _cross(excess, theta_P[index], step, limit, ends)


def _limit(fit: Fit, level: float) -> float:
    if not isinstance(fit.objective, LeastSquares):
        raise ValueError(
            "method: profile needs a least_squares fit; got one by huber_log: use a bootstrap"
        )
    check_degrees(fit)
    quantile = stats.t.ppf((1 + level) / 2, fit.noise.degrees)
    return float(quantile**2 * fit.noise.mean_square)


def _least(problem: Problem, theta_P: ndarray, low_SP: ndarray, high_SP: ndarray) -> ndarray:
    start_SP = np.tile(theta_P, (len(low_SP), 1))
    return 2 * minimise(problem, start_SP, low_SP, high_SP, STEPS, TOLERANCE).value_S


def _cross(
    excess: Callable[[ndarray], ndarray],
    centre: float,
    step: float,
    limit: float,
    ends: tuple[float, float],
) -> tuple[float, float]:
    """Where `excess` crosses `limit` on each side of `centre`; the end where it never does.

    The root of `excess` is close to linear in the distance from the centre: so a bracket is found
    by doubling, and narrowed by chords and halves in turn, both sides in one batch.
    """
    room_2, goal = np.abs(np.array(ends) - centre), np.sqrt(limit)

    def height(distance_2: ndarray) -> ndarray:
        return np.sqrt(np.maximum(excess(centre + SIDES * distance_2), 0.0))

    inner_2, low_2 = np.zeros(2), np.zeros(2)
    outer_2 = np.minimum(np.full(2, step), room_2)
    high_2 = height(outer_2)
    for _ in range(N_DOUBLINGS):
        short_2 = (high_2 < goal) & (outer_2 < room_2)
        if not short_2.any():
            break
        inner_2, low_2 = np.where(short_2, outer_2, inner_2), np.where(short_2, high_2, low_2)
        outer_2 = np.where(short_2, np.minimum(2 * outer_2, room_2), outer_2)
        high_2 = height(outer_2)
    never_2 = high_2 < goal
    for turn in range(N_NARROWINGS):
        chord_2 = _chord(inner_2, low_2, outer_2, high_2, goal)
        middle_2 = chord_2 if turn % 2 else (inner_2 + outer_2) / 2
        found_2 = height(middle_2)
        below_2 = found_2 < goal
        inner_2, low_2 = np.where(below_2, middle_2, inner_2), np.where(below_2, found_2, low_2)
        outer_2, high_2 = np.where(below_2, outer_2, middle_2), np.where(below_2, high_2, found_2)
    chord_2 = _chord(inner_2, low_2, outer_2, high_2, goal)
    low, high = centre + SIDES * np.where(never_2, np.minimum(room_2, outer_2), chord_2)
    return float(low), float(high)


def _chord(
    inner_2: ndarray, low_2: ndarray, outer_2: ndarray, high_2: ndarray, goal: float
) -> ndarray:
    rise_2 = high_2 - low_2
    share_2 = np.where(rise_2 > 0, (goal - low_2) / np.where(rise_2 > 0, rise_2, 1.0), 1.0)
    return inner_2 + np.clip(share_2, 0.0, 1.0) * (outer_2 - inner_2)
