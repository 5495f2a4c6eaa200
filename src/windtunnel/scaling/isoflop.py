"""Approach 2 to the compute-optimal size: a parabola through the losses of each budget.

    loss = p + q t + r t^2,   t = log N,   log N* = -q / (2 r)

Each budget of FLOPs has runs of several sizes. The sizes at the bottoms of the parabolas lie on a
power of the budget, N* = exp(intercept) C^exponent (`optimum.py`). Sizes far from the bottom, or
more of them on one side, shift it, since the losses are no parabola.

The interval resamples the residuals of each parabola, widened by its degrees of freedom.

Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.2.

Axes: M runs, K budgets, m runs of one budget, R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from windtunnel.scaling.optimum import Frontier, line

FEWEST_SIZES = 4  # three coefficients, and one more to see the noise
FEWEST_BUDGETS = 2


def isoflop(
    flops_M: ndarray, N_M: ndarray, loss_M: ndarray, n_R: int, rng: np.random.Generator
) -> Frontier:
    """The best size at each budget, and the line through them.

    Args:
        flops_M: the budget that each run belongs to; equal numbers are one budget [M].
        N_M: parameters of each run [M].
        loss_M: loss of each run in nats [M].
        n_R: how many resamples.
        rng: of the resamples.

    Raises:
        ValueError: fewer than two budgets have a bottom within their sizes.
    """
    used, bottoms, draws, words = [], [], [], []
    for flops in np.unique(flops_M):
        own_M = flops_M == flops
        log_N_m, own_loss_m = np.log(N_M[own_M]), loss_M[own_M]
        why = _why_not(log_N_m, own_loss_m)
        if why:
            words.append(f"budget {flops:.3g} was left out: {why}")
            continue
        used.append(flops)
        bottoms.append(bottom(log_N_m, own_loss_m[None])[0])
        draws.append(bottom(log_N_m, _resampled(log_N_m, own_loss_m, n_R, rng)))
    if len(used) < FEWEST_BUDGETS:
        raise ValueError(
            f"isoflop: expected at least {FEWEST_BUDGETS} budgets with a lowest loss among their "
            f"sizes; got {len(used)} ({'; '.join(words)}): add sizes on both sides"
        )
    flops_K, log_N_K = np.array(used), np.array(bottoms)
    intercept, exponent = line(flops_K, log_N_K[None])[0].tolist()
    draws_R2 = line(flops_K, np.stack(draws, axis=1))
    return Frontier(intercept, exponent, flops_K, np.exp(log_N_K), draws_R2, tuple(words))


def bottom(log_N_m: ndarray, loss_Rm: ndarray) -> ndarray:
    """Where the parabola of each row is lowest [R], kept within the sizes."""
    middle = log_N_m.mean()
    t_m = log_N_m - middle
    p_R, q_R, r_R = np.linalg.pinv(np.stack([t_m**0, t_m, t_m**2], axis=1)) @ loss_Rm.T
    ends = p_R + np.array([[t_m.min()], [t_m.max()]]) * q_R
    ends += np.array([[t_m.min()], [t_m.max()]]) ** 2 * r_R
    lower_R = np.where(ends[0] < ends[1], t_m.min(), t_m.max())
    vertex_R = -q_R / (2 * np.where(r_R > 0, r_R, 1.0))
    return middle + np.where(r_R > 0, np.clip(vertex_R, t_m.min(), t_m.max()), lower_R)


def _why_not(log_N_m: ndarray, loss_m: ndarray) -> str:
    """What is wrong with a budget, or nothing."""
    if len(np.unique(log_N_m)) < FEWEST_SIZES:
        return f"{len(np.unique(log_N_m))} sizes, of {FEWEST_SIZES} that a parabola needs"
    at = bottom(log_N_m, loss_m[None])[0]
    if not log_N_m.min() < at < log_N_m.max():
        return "its lowest loss lies at the end of its sizes"
    return ""


def _resampled(log_N_m: ndarray, loss_m: ndarray, n_R: int, rng: np.random.Generator) -> ndarray:
    t_m = log_N_m - log_N_m.mean()
    fitted_m = np.polynomial.Polynomial.fit(t_m, loss_m, 2)(t_m)
    widened_m = (loss_m - fitted_m) * np.sqrt(len(t_m) / (len(t_m) - 3))
    return fitted_m + rng.choice(widened_m, (n_R, len(t_m)))
