"""What a target costs, what share of that its ladder cost, and where the next run helps most.

    share = (FLOPs of the ladder + FLOPs of the search for hyperparameters) / FLOPs of the target

The next run is chosen by the variance of the predicted curve, with J the derivative of the fitted
curve by the coefficients, W the weights of the runs and g the derivative at the target:

    v = s^2 g' (J'WJ)^-1 g

A run at x, with derivative j and noise s_x^2, changes it to

    v - s^2 (g' H j)^2 / (s_x^2 / s^2 + j' H j),   H = (J'WJ)^-1

and the interval's width is that of the curve and of the target's own noise together.

Source: the share, as in Yao et al. 2023, arXiv 2304.06875 (nanoLM), by our reading; the update,
Sherman and Morrison 1950; choosing so, c-optimal design of Fedorov, Theory of Optimal Experiments,
1972.

Axes: M runs, K candidates, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.scaling.fit import Fit, check_degrees
from windtunnel.scaling.identify import on_bound
from windtunnel.scaling.optimum import FLOPS_FACTOR

RIDGE = 1e-10  # of the curvature's diagonal: what the runs do not fix is uncertain, not undefined


@dataclass(frozen=True)
class Cost:
    """FLOPs of the target's runs and of the ladder, and the second over the first."""

    target_flops: float
    ladder_flops: float
    share: float


@dataclass(frozen=True)
class NextRun:
    """Runs that could come next: their columns, how many, their FLOPs, and by what share the
    target's interval shrinks."""

    x: dict[str, float]
    n_runs: int
    flops: float
    shrinks: float


def train_flops(x: Mapping[str, ndarray | float]) -> ndarray | None:
    """FLOPs of training: the column C, or 6 N D; None where the columns do not tell."""
    if "C" in x:
        return np.atleast_1d(np.asarray(x["C"], float))
    if "N" in x and "D" in x:
        return np.atleast_1d(FLOPS_FACTOR * np.asarray(x["N"], float) * np.asarray(x["D"], float))
    return None


def cost(
    ladder: Mapping[str, ndarray],
    target: Mapping[str, float],
    n_target_seeds: int,
    search_flops: float,
) -> Cost | None:
    """What the target costs and what share the ladder cost; None where the columns do not tell.

    Args:
        ladder: columns of the runs [M] each.
        target: columns of the target.
        n_target_seeds: how often the target is trained.
        search_flops: FLOPs of the search for hyperparameters.
    """
    ladder_M, one = train_flops(ladder), train_flops(target)
    if ladder_M is None or one is None:
        return None
    spent, wanted = float(ladder_M.sum()) + search_flops, float(one[0]) * n_target_seeds
    return Cost(wanted, spent, spent / wanted)


def next_runs(
    fit: Fit,
    target: Mapping[str, float],
    candidates: Mapping[str, ndarray],
    flops_K: ndarray,
    budget_flops: float,
    n_target_seeds: int,
) -> list[NextRun]:
    """What each candidate would do for the target's interval, best first.

    Every candidate is given the same FLOPs: as many runs of it as the budget buys. Those that it
    does not buy once are left out.

    Args:
        fit: the fitted law.
        target: the target's columns.
        candidates: columns of the candidates [K] each.
        flops_K: FLOPs of one run of each [K].
        budget_flops: what may be spent.
        n_target_seeds: over how many runs the target's loss will be averaged.

    Raises:
        ValueError: the fit left no degree of freedom.
    """
    check_degrees(fit)
    n_runs_K = np.floor(budget_flops / flops_K).astype(int)
    noise, bound_P = fit.noise, on_bound(fit.law, fit.scaled_P)
    problem = fit.problem(fit.points.loss_M[None])
    curvature_PP = problem.expand(fit.scaled_P[None])[2][0][np.ix_(~bound_P, ~bound_P)]
    inverse_PP = np.linalg.inv(curvature_PP + RIDGE * np.diag(np.diag(curvature_PP)))
    g_P = _slopes(fit, {c: np.array([v]) for c, v in target.items()})[0, ~bound_P]
    j_KP = _slopes(fit, candidates)[:, ~bound_P]
    before = noise.mean_square * g_P @ inverse_PP @ g_P
    own = noise.target_variance(n_target_seeds)
    found = []
    for row in np.flatnonzero(n_runs_K > 0):
        n_runs, j_P = int(n_runs_K[row]), j_KP[row]
        ratio = noise.target_variance(n_runs) / noise.mean_square if noise.mean_square else 1.0
        gain = (g_P @ inverse_PP @ j_P) ** 2 / (ratio + j_P @ inverse_PP @ j_P)
        after = before - noise.mean_square * gain
        shrinks = 1 - np.sqrt((after + own) / (before + own)) if before + own > 0 else 0.0
        x = {name: float(values[row]) for name, values in candidates.items()}
        found.append(NextRun(x, n_runs, float(flops_K[row] * n_runs), float(shrinks)))
    return sorted(found, key=lambda run: -run.shrinks)


def _slopes(fit: Fit, x: Mapping[str, ndarray]) -> ndarray:
    """Derivative of the curve by each coefficient, on the scale of the objective [K, P]."""
    scaled = fit.scale(x)
    slope_K = fit.objective.slope(fit.law.predict(fit.scaled_P[None], scaled))[0]
    return slope_K[:, None] * fit.law.gradient(fit.scaled_P[None], scaled)[0]
