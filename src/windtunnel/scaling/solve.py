"""Minimises many fits of one law at once, by damped Gauss-Newton steps inside bounds.

For each problem s, with J the derivative of the residuals by the coefficients and W the weights of
the points times those of the objective, a step solves

    (J'WJ + damping * diag(J'WJ)) step = -J'W r

over the coefficients that are free; one on its bound whose gradient points outside is held. A step
that lowers the objective is taken and the damping falls; else the damping rises. A problem has
converged when no free column of sqrt(W) J makes an angle of cosine above `tolerance` with the
residuals.

Source: Marquardt 1963; the test of convergence, More 1978 (MINPACK); reweighting for a robust
objective, Holland and Welsch 1977.

Axes: S problems, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.objective import Objective

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-12, 1e12
BLOCK_NUMBERS = 2**15  # of a Jacobian that is worked on at once: what stays in a processor's cache
EXACT = 1e-28  # objective below this share of the squared losses: rounding error, nothing to gain


@dataclass(frozen=True)
class Problem:
    """One law, its points and its objective.

    Losses may differ between problems [S, M], and so may the weights, [M] where they do not.
    """

    law: Law
    x: Mapping[str, ndarray]
    loss_SM: ndarray
    weights_M: ndarray
    objective: Objective

    def take(self, rows: ndarray) -> Problem:
        """The problems at `rows`; what all problems share stays shared."""
        loss_SM = self.loss_SM if len(self.loss_SM) == 1 else self.loss_SM[rows]
        weights_M = self.weights_M if self.weights_M.ndim == 1 else self.weights_M[rows]
        return Problem(self.law, self.x, loss_SM, weights_M, self.objective)

    def residual(self, theta_SP: ndarray) -> ndarray:
        """Residuals on the scale of the objective [S, M]."""
        fitted_SM = self.law.predict(theta_SP, self.x)
        return self.objective.scale(fitted_SM) - self.objective.scale(self.loss_SM)

    def value(self, theta_SP: ndarray) -> ndarray:
        """The objective [S]."""
        return np.vecdot(self.objective.cost(self.residual(theta_SP)), self.weights_M)

    def jacobian(self, theta_SP: ndarray) -> ndarray:
        """Derivative of the residuals by each coefficient [S, M, P]."""
        slope_SM = self.objective.slope(self.law.predict(theta_SP, self.x))
        return slope_SM[..., None] * self.law.gradient(theta_SP, self.x)

    def expand(self, theta_SP: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """Objective [S], its gradient [S, P], and the curvature J'WJ [S, P, P]."""
        fitted_SM = self.law.predict(theta_SP, self.x)
        residual_SM = self.objective.scale(fitted_SM) - self.objective.scale(self.loss_SM)
        weight_SM = self.weights_M * self.objective.weight(residual_SM)
        slope_SM = self.objective.slope(fitted_SM)
        jacobian_SMP = slope_SM[..., None] * self.law.gradient(theta_SP, self.x)
        weighted_SPM = (jacobian_SMP * weight_SM[..., None]).swapaxes(1, 2)
        gradient_SP = (weighted_SPM @ residual_SM[..., None])[..., 0]
        value_S = np.vecdot(self.objective.cost(residual_SM), self.weights_M)
        return value_S, gradient_SP, weighted_SPM @ jacobian_SMP


@dataclass(frozen=True)
class Solution:
    """Coefficients [S, P], objective [S], and which problems converged [S]."""

    theta_SP: ndarray
    value_S: ndarray
    converged_S: ndarray


def bounds(law: Law, n_S: int) -> tuple[ndarray, ndarray]:
    """Lower and upper bounds of the law's coefficients, each [S, P]."""
    low_P = np.array([c.low for c in law.coefficients])
    high_P = np.array([c.high for c in law.coefficients])
    return np.tile(low_P, (n_S, 1)), np.tile(high_P, (n_S, 1))


def exact(problem: Problem) -> ndarray:
    """Objective below which nothing but rounding error is left [S] or [1]."""
    return EXACT * np.vecdot(problem.objective.scale(problem.loss_SM) ** 2, problem.weights_M)


def free(theta_SP: ndarray, gradient_SP: ndarray, low_SP: ndarray, high_SP: ndarray) -> ndarray:
    """Which coefficients may move without leaving their bounds [S, P]."""
    stuck_low = (theta_SP <= low_SP) & (gradient_SP >= 0)
    stuck_high = (theta_SP >= high_SP) & (gradient_SP <= 0)
    return ~(stuck_low | stuck_high)


def cosine(
    value_S: ndarray, gradient_SP: ndarray, curvature_SPP: ndarray, free_SP: ndarray
) -> ndarray:
    """Largest cosine between the residuals and a free column of the Jacobian [S]."""
    diagonal_SP = np.einsum("spp->sp", curvature_SPP)
    scale_SP = np.sqrt(2 * value_S[:, None] * diagonal_SP)
    cosine_SP = np.abs(gradient_SP) / np.maximum(scale_SP, np.finfo(float).tiny)
    return np.max(np.where(free_SP, cosine_SP, 0.0), axis=1, initial=0.0)


def damped_step(
    gradient_SP: ndarray, curvature_SPP: ndarray, free_SP: ndarray, damping_S: ndarray
) -> ndarray:
    """The step [S, P], zero where a coefficient is held."""
    diagonal_SP = np.einsum("spp->sp", curvature_SPP)
    scale_SP = np.sqrt(np.where(free_SP & (diagonal_SP > 0), diagonal_SP, 1.0))
    both_SPP = free_SP[:, :, None] & free_SP[:, None, :]
    scaled_SPP = np.where(both_SPP, curvature_SPP, 0.0)
    scaled_SPP = scaled_SPP / (scale_SP[:, :, None] * scale_SP[:, None, :])
    n_P = scaled_SPP.shape[1]
    scaled_SPP[:, range(n_P), range(n_P)] += damping_S[:, None] + LEAST_DAMPING
    right_SP = np.where(free_SP, -gradient_SP / scale_SP, 0.0)
    return np.linalg.solve(scaled_SPP, right_SP[..., None])[..., 0] / scale_SP


def minimise(
    problem: Problem,
    theta_SP: ndarray,
    low_SP: ndarray,
    high_SP: ndarray,
    n_steps: int,
    tolerance: float,
) -> Solution:
    """Takes at most `n_steps` steps for every problem, many problems in one batch.

    Args:
        problem: the fits; its losses are [1, M] where all problems share them.
        theta_SP: where each starts [S, P].
        low_SP: lower bounds [S, P]; equal bounds hold a coefficient fixed.
        high_SP: upper bounds [S, P].
        n_steps: most steps that a problem takes.
        tolerance: largest cosine between residuals and Jacobian of a converged problem.
    """
    n_S = len(theta_SP)
    n_block = max(1, BLOCK_NUMBERS // (problem.loss_SM.shape[1] * theta_SP.shape[1]))
    parts = []
    with np.errstate(all="ignore"):  # starts far off may overflow: their steps are refused
        for first in range(0, n_S, n_block):
            rows = np.arange(first, min(first + n_block, n_S))
            start_SP, low, high = theta_SP[rows], low_SP[rows], high_SP[rows]
            part = problem.take(rows)
            parts.append(_minimise(part, start_SP, low, high, n_steps, tolerance))
    return Solution(
        np.concatenate([part.theta_SP for part in parts]),
        np.concatenate([part.value_S for part in parts]),
        np.concatenate([part.converged_S for part in parts]),
    )


def _minimise(
    problem: Problem,
    theta_SP: ndarray,
    low_SP: ndarray,
    high_SP: ndarray,
    n_steps: int,
    tolerance: float,
) -> Solution:
    theta_SP = np.clip(theta_SP, low_SP, high_SP)
    n_S = len(theta_SP)
    damping_S = np.full(n_S, FIRST_DAMPING)
    converged_S = np.zeros(n_S, bool)
    exact_S = np.broadcast_to(exact(problem), n_S)
    value_S = problem.value(theta_SP)
    active = np.arange(n_S)
    for _ in range(n_steps):
        part = problem.take(active)
        here_SP, low, high = theta_SP[active], low_SP[active], high_SP[active]
        value, gradient, curvature = part.expand(here_SP)
        free_SP = free(here_SP, gradient, low, high)
        done = (cosine(value, gradient, curvature, free_SP) <= tolerance) | (
            value <= exact_S[active]
        )
        converged_S[active] = done
        finite = np.isfinite(value) & np.isfinite(curvature).all(axis=(1, 2))
        going = ~done & finite & (damping_S[active] < MOST_DAMPING)
        if not going.any():
            break
        active, part = active[going], problem.take(active[going])
        step = damped_step(gradient[going], curvature[going], free_SP[going], damping_S[active])
        trial_SP = np.clip(here_SP[going] + step, low[going], high[going])
        trial = part.value(trial_SP)
        better = trial < value[going]
        theta_SP[active[better]], value_S[active[better]] = trial_SP[better], trial[better]
        damping_S[active] *= np.where(better, 0.1, 4.0)
        damping_S[active] = np.maximum(damping_S[active], LEAST_DAMPING)
    return Solution(theta_SP, value_S, converged_S)
