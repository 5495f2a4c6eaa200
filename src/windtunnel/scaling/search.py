"""The search for a law's best coefficients: many starts in one batch, pruned, the best polished.

1. All starts take `FIRST_STEPS` damped Gauss-Newton steps together (`solve.py`).
2. A start is pruned when its objective is not finite, or exceeds `PRUNE_FACTOR` times the lowest,
   or is not among the `KEPT` lowest. The others run on to convergence.
3. The best is polished by L-BFGS-B, with the objective divided by its value and each coefficient by
   its curvature. Starts that end within `SAME` of the best objective count as converged.

Source: multi-start, Huber and L-BFGS as in Hoffmann et al. 2022, arXiv 2203.15556, appendix D.3;
scaling the objective before L-BFGS, Besiroglu et al. 2024, arXiv 2404.10102.

Axes: S starts, M runs, P coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy import optimize

from windtunnel.scaling.solve import Problem, bounds, cosine, exact, free, minimise

FIRST_STEPS, STEPS = 10, 200
PRUNE_FACTOR, KEPT = 3.0, 48
TOLERANCE, CONVERGED = 1e-8, 1e-5
SAME, LOWER = 1e-6, 1e-12


@dataclass(frozen=True)
class Starts:
    """How many starts were tried, pruned early, and ended at the reported minimum."""

    tried: int
    pruned: int
    converged: int


def search(problem: Problem, start_SP: ndarray) -> tuple[ndarray, Starts]:
    """The best coefficients [P] from the starts [S, P], and what became of the starts."""
    low_SP, high_SP = bounds(problem.law, len(start_SP))
    first = minimise(problem, start_SP, low_SP, high_SP, FIRST_STEPS, TOLERANCE)
    value_S = np.where(np.isfinite(first.value_S), first.value_S, np.inf)
    order_S = np.argsort(value_S, kind="stable")[:KEPT]
    floor = exact(problem)[0]
    limit = PRUNE_FACTOR * value_S.min() + floor
    kept_S = order_S[value_S[order_S] <= limit]
    low_SP, high_SP = low_SP[kept_S], high_SP[kept_S]
    last = minimise(problem, first.theta_SP[kept_S], low_SP, high_SP, STEPS, TOLERANCE)
    best = int(np.argmin(last.value_S))
    theta_P = polish(problem, last.theta_SP[best])
    lowest = problem.value(theta_P[None])[0]
    same_S = last.value_S <= lowest * (1 + SAME) + floor
    return theta_P, Starts(len(start_SP), len(start_SP) - len(kept_S), int(same_S.sum()))


def polish(problem: Problem, theta_P: ndarray) -> ndarray:
    """The coefficients [P] after L-BFGS-B from `theta_P`, where that lowers the objective."""
    value, _, curvature_PP = (part[0] for part in problem.expand(theta_P[None]))
    if value <= exact(problem)[0]:
        return theta_P
    curved_P = np.diag(curvature_PP) > 0
    scale_P = np.sqrt(value / np.where(curved_P, np.diag(curvature_PP), value))

    def scaled(z_P: ndarray) -> tuple[float, ndarray]:
        value_S, gradient_SP, _ = problem.expand((theta_P + z_P * scale_P)[None])
        return value_S[0] / value, gradient_SP[0] * scale_P / value

    low_SP, high_SP = bounds(problem.law, 1)
    limits = optimize.Bounds((low_SP[0] - theta_P) / scale_P, (high_SP[0] - theta_P) / scale_P)
    found = optimize.minimize(
        scaled,
        np.zeros_like(theta_P),
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500},
    )
    polished_P = np.clip(theta_P + found.x * scale_P, low_SP[0], high_SP[0])
    return polished_P if problem.value(polished_P[None])[0] < value * (1 - LOWER) else theta_P


def has_converged(problem: Problem, theta_P: ndarray) -> bool:
    """Whether the gradient vanishes over the coefficients that are off their bounds."""
    value, gradient, curvature = problem.expand(theta_P[None])
    low_SP, high_SP = bounds(problem.law, 1)
    free_SP = free(theta_P[None], gradient, low_SP, high_SP)
    angle = cosine(value, gradient, curvature, free_SP)[0]
    return bool(angle <= CONVERGED or value[0] <= exact(problem)[0])
