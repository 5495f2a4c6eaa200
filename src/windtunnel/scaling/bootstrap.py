"""Refits of a law to losses that might have been: the bootstrap, all resamples in one batch.

Each resample r adds noise to the fitted curve and refits from the optimum:

    L*_r = fitted + s_r e_r,    s_r = sqrt(nu / chi^2_nu)

where e_r are the fit's residuals drawn again, widened by the (n - p) correction of `noise.py`
("residual"), or normal draws of that variance ("parametric"). The factor s_r, with nu degrees of
freedom, carries the uncertainty of the noise itself: for a linear law the resampled prediction
errors then have exactly Student's t, and few runs give wide intervals.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, sections 6.5 and 9.4; the
factor is the posterior of the variance under Jeffreys' prior.

Axes: R resamples, M runs, P coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import ndarray

from windtunnel.scaling.fit import Fit, check_degrees
from windtunnel.scaling.noise import reshuffle, simulate
from windtunnel.scaling.objective import SMALLEST_LOSS
from windtunnel.scaling.solve import bounds, minimise

Draw = Literal["residual", "parametric"]

REFIT_STEPS, REFIT_TOLERANCE = 100, 1e-5


@dataclass(frozen=True)
class Resamples:
    """Coefficients of each refit, in the fit's scaled units [R, P]; the factor s_r of its noise
    [R]; and the share of refits that converged."""

    scaled_RP: ndarray
    factor_R: ndarray
    converged: float


def resample(fit: Fit, draw: Draw, n_R: int, rng: np.random.Generator) -> Resamples:
    """Refits the law to `n_R` noisy copies of its own curve.

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
    loss_RM = np.maximum(loss_RM, SMALLEST_LOSS)
    low_RP, high_RP = bounds(fit.law, n_R)
    start_RP = np.tile(fit.scaled_P, (n_R, 1))
    solution = minimise(
        fit.problem(loss_RM), start_RP, low_RP, high_RP, REFIT_STEPS, REFIT_TOLERANCE
    )
    return Resamples(solution.theta_SP, factor_R, float(solution.converged_S.mean()))
