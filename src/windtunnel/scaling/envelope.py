"""Approach 1 to the compute-optimal size: the lower envelope of training curves.

At each of many budgets the run with the lowest loss there is found, its curve interpolated in
log C; the sizes of these runs lie on a power of the budget, N* = exp(intercept) C^exponent
(`optimum.py`). A budget whose best run is the smallest or the largest of those that reach it is
left out, since a size beyond might be better.

The interval resamples whole runs. Losses in the middle of a schedule that anneals lie above those
of a run that ends there, so the curves should come from a constant rate or be of one length.

Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.1, there with 1,500 budgets.

Axes: M points of all curves, Q runs, K budgets, R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from windtunnel.scaling.optimum import Frontier, line

N_BUDGETS = 1500  # Hoffmann et al. 2022, arXiv 2203.15556, section 3.1
FEWEST_SIZES = 3


def envelope(
    run_M: ndarray,
    N_M: ndarray,
    flops_M: ndarray,
    loss_M: ndarray,
    n_R: int,
    rng: np.random.Generator,
) -> Frontier:
    """The best size at each budget, and the line through them.

    Args:
        run_M: which run each point belongs to, in any values [M].
        N_M: parameters of that run [M].
        flops_M: FLOPs spent up to the point [M].
        loss_M: loss there in nats [M].
        n_R: how many resamples.
        rng: of the resamples.

    Raises:
        ValueError: no budget has its best run between smaller and larger ones.
    """
    runs, first = np.unique(run_M, return_index=True)
    N_Q = N_M[first]
    flops_K = np.geomspace(flops_M.min(), flops_M.max(), N_BUDGETS)
    loss_QK = np.stack(
        [_along(flops_M[run_M == run], loss_M[run_M == run], flops_K) for run in runs]
    )
    best_K = best_sizes(N_Q, loss_QK)
    inside_K = np.isfinite(best_K)
    if len(np.unique(best_K[inside_K])) < FEWEST_SIZES:
        raise ValueError(
            f"envelope: expected {FEWEST_SIZES} sizes that are best at some budget, between "
            f"smaller and larger ones; got {len(np.unique(best_K[inside_K]))} of "
            f"{len(np.unique(N_Q))} sizes: add sizes, or longer curves"
        )
    intercept, exponent = line(flops_K[inside_K], np.log(best_K[inside_K])[None])[0].tolist()
    draws = [_draw(N_Q, loss_QK, flops_K, rng) for _ in range(n_R)]
    draws_R2 = np.array([pair for pair in draws if pair is not None]).reshape(-1, 2)
    words = []
    if not inside_K.all():
        words.append(
            f"{N_BUDGETS - inside_K.sum()} of {N_BUDGETS} budgets were left out: their best run is "
            "the smallest or the largest there"
        )
    if len(draws_R2) < n_R:
        words.append(
            f"{n_R - len(draws_R2)} of {n_R} resamples hold too few sizes and were left out of the "
            "interval"
        )
    used = flops_K[inside_K], best_K[inside_K]
    return Frontier(intercept, exponent, *used, draws_R2, tuple(words))


def best_sizes(N_Q: ndarray, loss_QK: ndarray) -> ndarray:
    """The best size at each budget, NaN where it is the smallest or largest there [K].

    Args:
        N_Q: parameters of each run [Q].
        loss_QK: loss of each run at each budget, infinite where it does not reach it [Q, K].
    """
    reached_QK = np.isfinite(loss_QK)
    sizes_QK = np.broadcast_to(N_Q[:, None], loss_QK.shape)
    smallest_K = np.min(np.where(reached_QK, sizes_QK, np.inf), axis=0)
    largest_K = np.max(np.where(reached_QK, sizes_QK, -np.inf), axis=0)
    best_K = N_Q[np.argmin(loss_QK, axis=0)]
    return np.where((smallest_K < best_K) & (best_K < largest_K), best_K, np.nan)


def _along(flops_m: ndarray, loss_m: ndarray, flops_K: ndarray) -> ndarray:
    """One curve at all budgets, infinite outside of it [K]."""
    order = np.argsort(flops_m)
    at_K = np.interp(np.log(flops_K), np.log(flops_m[order]), loss_m[order])
    return np.where((flops_K >= flops_m.min()) & (flops_K <= flops_m.max()), at_K, np.inf)


def _draw(
    N_Q: ndarray, loss_QK: ndarray, flops_K: ndarray, rng: np.random.Generator
) -> ndarray | None:
    """Intercept and exponent over runs drawn anew; None where they show no optimum."""
    rows = rng.integers(len(N_Q), size=len(N_Q))
    best_K = best_sizes(N_Q[rows], loss_QK[rows])
    inside_K = np.isfinite(best_K)
    if len(np.unique(best_K[inside_K])) < FEWEST_SIZES:
        return None
    return line(flops_K[inside_K], np.log(best_K[inside_K])[None])[0]
