"""Predictions with an interval that the loss of a run not yet made should fall into.

The interval is a prediction interval: it holds both the uncertainty of the curve and the noise of
the target's own seeds. By bootstrap (`bootstrap.py`), its ends are quantiles over refits r of

    f(x_new; theta*_r) + s_r e,    e normal, with the variance of the target (`noise.py`)

on the scale of the objective; by profile likelihood, see `profile.py`. Intervals of coefficients
are quantiles of theta*_r, or their profiles. `band_of` and `coefficients_of` read several answers
off one set of refits.

Axes: R resamples, M points, P coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy import ndarray

from windtunnel.scaling import profile
from windtunnel.scaling.bootstrap import Draw, Resamples, resample
from windtunnel.scaling.fit import Fit

Method = Literal["bootstrap_residual", "bootstrap_parametric", "profile"]
DRAWS: dict[str, Draw] = {"bootstrap_residual": "residual", "bootstrap_parametric": "parametric"}

FEWEST_CONVERGED = 0.95
ROUNDING = 1e-9


class Interval(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float


class Band(NamedTuple):
    """Losses in nats along a curve, and the ends of their intervals [M] each."""

    loss_M: ndarray
    low_M: ndarray
    high_M: ndarray


@dataclass(frozen=True)
class Prediction:
    """A loss in nats, and the interval that holds a new run's loss with probability `level`.

    warnings: what went wrong with the interval; those of the fit stand in the fit.
    """

    loss: float
    low: float
    high: float
    level: float
    method: Method
    warnings: tuple[str, ...]


def predict(
    fit: Fit,
    x_new: Mapping[str, float],
    *,
    level: float,
    method: Method,
    n_resamples: int,
    n_target_seeds: int,
    seed: int,
) -> Prediction:
    """The loss of a target, as the mean of `n_target_seeds` runs, with its interval.

    Args:
        fit: the fitted law.
        x_new: the target's columns, in the units of the fitted ones.
        level: probability that the interval holds the loss.
        method: `profile` for least squares (no chance in it), or either bootstrap.
        n_resamples: refits of a bootstrap; not used by `profile`.
        n_target_seeds: how many runs of the target the loss is the mean of.
        seed: of a bootstrap's draws; not used by `profile`.

    Raises:
        ValueError: a setting is unusable, or the fit left no degree of freedom.
    """
    x = {c: np.array([float(v)]) for c, v in x_new.items()}
    settings = (level, method, n_resamples, n_target_seeds, seed)
    found, words = _predict(fit, x, *settings)
    loss, low, high = (float(values_M[0]) for values_M in found)
    return Prediction(loss, low, high, level, method, words)


def band(
    fit: Fit,
    x_new: Mapping[str, ndarray],
    *,
    level: float,
    method: Method,
    n_resamples: int,
    n_target_seeds: int,
    seed: int,
) -> Band:
    """The prediction interval along a whole curve, for a figure; arguments as in `predict`."""
    return _predict(fit, x_new, level, method, n_resamples, n_target_seeds, seed)[0]


def coefficient_intervals(
    fit: Fit, *, level: float, method: Method, n_resamples: int, seed: int
) -> dict[str, Interval]:
    """Lower and upper end of each coefficient by name, in the units of the columns as given.

    Raises:
        ValueError: a setting is unusable, or the fit left no degree of freedom.
    """
    check_settings(level, method, n_resamples, 1)
    if method == "profile":
        return {
            name: Interval(*profile.coefficient_interval(fit, name, level))
            for name in fit.parameters
        }
    drawn = resample(fit, DRAWS[method], n_resamples, np.random.default_rng(seed))
    return coefficients_of(fit, drawn, level)


def coefficients_of(fit: Fit, drawn: Resamples, level: float) -> dict[str, Interval]:
    """Lower and upper end of each coefficient by name, over refits that have been drawn."""
    theta_RP = fit.law.rescale(drawn.scaled_RP, fit.units)
    low_P, high_P = np.quantile(theta_RP, [(1 - level) / 2, (1 + level) / 2], axis=0)
    ends = map(Interval, low_P.tolist(), high_P.tolist())
    return dict(zip(fit.parameters, ends, strict=True))


def _predict(
    fit: Fit,
    x_new: Mapping[str, ndarray],
    level: float,
    method: Method,
    n_resamples: int,
    n_target_seeds: int,
    seed: int,
) -> tuple[Band, tuple[str, ...]]:
    check_settings(level, method, n_resamples, n_target_seeds)
    loss_M = fit.predict(x_new)
    if method == "profile":
        columns = fit.law.columns
        rows = zip(*(np.atleast_1d(x_new[c]).tolist() for c in columns), strict=True)
        ends = [
            profile.prediction_interval(
                fit, dict(zip(columns, row, strict=True)), level, n_target_seeds
            )
            for row in rows
        ]
        low_M, high_M = np.array(ends).T
        return Band(loss_M, low_M, high_M), ()
    rng = np.random.default_rng(seed)
    drawn = resample(fit, DRAWS[method], n_resamples, rng)
    return band_of(fit, drawn, x_new, level, n_target_seeds, rng), words_on(drawn)


def band_of(
    fit: Fit,
    drawn: Resamples,
    x_new: Mapping[str, ndarray],
    level: float,
    n_target_seeds: int,
    rng: np.random.Generator,
) -> Band:
    """The prediction interval along a curve, over refits that have been drawn."""
    curve_RM = fit.objective.scale(fit.law.predict(drawn.scaled_RP, fit.scale(x_new)))
    spread = np.sqrt(fit.noise.target_variance(n_target_seeds))
    noise_RM = drawn.factor_R[:, None] * spread * rng.standard_normal(curve_RM.shape)
    ends_2M = np.quantile(curve_RM + noise_RM, [(1 - level) / 2, (1 + level) / 2], axis=0)
    low_M, high_M = fit.objective.unscale(ends_2M)
    return Band(fit.predict(x_new), low_M, high_M)


def words_on(drawn: Resamples) -> tuple[str, ...]:
    """What a reader must know of the refits."""
    if drawn.converged < FEWEST_CONVERGED:
        return (f"only {drawn.converged:.0%} of the bootstrap's refits converged",)
    return ()


def check_settings(level: float, method: str, n_resamples: int, n_target_seeds: int) -> None:
    """Refuses what no interval can be drawn with.

    Raises:
        ValueError: a setting is unusable.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, such as 0.9; got {level}")
    if method not in get_args(Method):
        raise ValueError(f"method: expected one of {', '.join(get_args(Method))}; got {method!r}")
    needed = math.ceil(2 / (1 - level) - ROUNDING)
    if method != "profile" and n_resamples < needed:
        raise ValueError(
            f"n_resamples: expected at least {needed} for level {level}, one beyond each end; got "
            f"{n_resamples}"
        )
    if n_target_seeds < 1:
        raise ValueError(f"n_target_seeds: expected 1 or more; got {n_target_seeds}")
