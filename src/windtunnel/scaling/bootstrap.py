"""Refits of a law to losses that might have been: the bootstrap, many resamples in one batch.

Every refit starts from the optimum. A resample r adds noise to the fitted curve:

    L*_r = fitted + s_r e_r,    s_r = sqrt(nu / chi^2_nu)

where e_r are the fit's residuals drawn again, widened by the (n - p) correction of `noise.py`
("residual"), or normal draws of that variance ("parametric"). The factor s_r, with nu degrees of
freedom, carries the uncertainty of the noise itself: for a linear law the resampled prediction
errors then have exactly Student's t, and few runs give wide intervals. Runs that scatter more at
some sizes than at others, or that share noise within a group such as a seed, are not described by
this. There the weights of the groups are drawn instead ("by group"), each run a group of its own
where none are given:

    weights of the G groups = G times a draw of Dirichlet(k, ..., k),    k = (G - 2) / G

which leaves no size out, and gives the mean of G groups its unbiased variance.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, sections 6.5 and 9.4; the
factor is the posterior of the variance under Jeffreys' prior. By group: Rubin, The Bayesian
Bootstrap, Annals of Statistics 9, 1981, there with k = 1.

Axes: R resamples, M runs, P coefficients, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy import ndarray

from windtunnel.scaling.fit import Fit, check_degrees
from windtunnel.scaling.noise import reshuffle, simulate
from windtunnel.scaling.objective import SMALLEST_LOSS
from windtunnel.scaling.solve import Problem, bounds, minimise

Draw = Literal["residual", "parametric"]

REFIT_STEPS, REFIT_TOLERANCE = 100, 1e-5
REFITS_AT_ONCE = 50
FEWEST_GROUPS = 3


@dataclass(frozen=True)
class Resamples:
    """Coefficients of each refit, in the fit's scaled units [R, P]; the factor s_r of its noise
    [R]; and the share of refits that converged."""

    scaled_RP: ndarray
    factor_R: ndarray
    converged: float


def resample(
    fit: Fit,
    draw: Draw,
    n_R: int,
    rng: np.random.Generator,
    done: Callable[[int], None] = lambda _: None,
) -> Resamples:
    """Refits the law to `n_R` noisy copies of its own curve; `done` is told of every few refits.

    Raises:
        ValueError: the fit left no degree of freedom to estimate the noise.
    """
    check_degrees(fit)
    noise, points = fit.noise, fit.points
    factor_R = np.sqrt(noise.degrees / rng.chisquare(noise.degrees, n_R))
    fitted_M = fit.objective.scale(fit.predict(points.x))
    if draw == "parametric":
        noise_RM = simulate(noise, points.weights_M, points.design_M, n_R, rng)
    else:
        residual_M = fit.objective.scale(points.loss_M) - fitted_M
        noise_RM = reshuffle(noise, residual_M, points.weights_M, points.design_M, n_R, rng)
    loss_RM = fit.objective.unscale(fitted_M + factor_R[:, None] * noise_RM)
    problem = fit.problem(np.maximum(loss_RM, SMALLEST_LOSS))
    return refit(fit, problem, factor_R, done)


def resample_groups(
    fit: Fit,
    group_M: ndarray | None,
    n_R: int,
    rng: np.random.Generator,
    done: Callable[[int], None] = lambda _: None,
) -> Resamples:
    """Refits the law to the runs as they are, with the weights of their groups drawn anew.

    Args:
        fit: the fitted law.
        group_M: what group each run belongs to, in any values [M]; None for one run per group.
        n_R: how many refits.
        rng: of the draws.
        done: is told of every few refits.

    Raises:
        ValueError: there are fewer than three groups, or the fit left no degree of freedom.
    """
    check_degrees(fit)
    n_M = len(fit.points.loss_M)
    labels = np.arange(n_M) if group_M is None else np.asarray(group_M)
    names, index_M = np.unique(labels, return_inverse=True)
    n_G = len(names)
    if n_G < FEWEST_GROUPS:
        raise ValueError(
            f"groups: expected at least {FEWEST_GROUPS} to draw from; got {names.tolist()}: draw "
            "residuals instead, or group by something that has more values"
        )
    share_RG = rng.dirichlet(np.full(n_G, (n_G - 2) / n_G), n_R)
    weights_RM = fit.points.weights_M * n_G * share_RG[:, index_M]
    problem = replace(fit.problem(fit.points.loss_M[None]), weights_M=weights_RM)
    return refit(fit, problem, np.ones(n_R), done)


def refit(
    fit: Fit,
    problem: Problem,
    factor_R: ndarray,
    done: Callable[[int], None] = lambda _: None,
) -> Resamples:
    """Refits from the optimum: one problem for each factor [R]."""
    n_R = len(factor_R)
    low_RP, high_RP = bounds(fit.law, n_R)
    start_RP = np.tile(fit.scaled_P, (n_R, 1))
    scaled_RP, converged_R = np.empty_like(start_RP), np.empty(n_R, bool)
    for first in range(0, n_R, REFITS_AT_ONCE):
        rows = np.arange(first, min(first + REFITS_AT_ONCE, n_R))
        found = minimise(
            problem.take(rows), start_RP[rows], low_RP[rows], high_RP[rows], REFIT_STEPS,
            REFIT_TOLERANCE,
        )  # fmt: skip
        scaled_RP[rows], converged_R[rows] = found.theta_SP, found.converged_S
        done(len(rows))
    return Resamples(scaled_RP, factor_R, float(converged_R.mean()))
