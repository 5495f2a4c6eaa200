"""What a learning-rate schedule leaves at each step, for the laws of whole training curves.

With eta_i the learning rate of step i, its warm-up replaced by the first rate after it:

    S1(s) = sum_{i <= s} eta_i                            forward area
    m_i   = decay m_{i-1} + eta_{i-1} - eta_i,   m_0 = 0  falls of the rate, with momentum
    S2(s) = sum_{i <= s} m_i                              annealing area

For a law that sums over all falls of the rate before a step, the falls are gathered in blocks:
single steps next to the step in question, and further back blocks a tenth as wide as they are far,
each at the mean of its steps. What follows a fall changes with the logarithm of the steps since, so
that little is lost: less than 5e-4 of the sum of all falls.

Source: Tissue et al. 2024, arXiv 2408.11029, equations 1 and 2; there decay is 0.999. The blocks
are ours.

Axes: T steps, s steps up to the one in question, K edges of blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy import signal


class Areas(NamedTuple):
    """Forward and annealing area after each step [T]."""

    S1_T: ndarray
    S2_T: ndarray


NEAR, GROWTH = 10, 1.1


class Falls(NamedTuple):
    """Of each block of steps: the fall of the rate, the rate (1 where it does not change), and the
    sum of the rates from there on [K - 1]."""

    fall_K: ndarray
    lr_K: ndarray
    area_K: ndarray


def features(lr_T: ndarray, *, decay: float, n_warmup: int) -> Areas:
    """The two areas of a schedule.

    Args:
        lr_T: learning rate of every step, from the first [T].
        decay: lambda, what is left of the momentum after a step; 0.999 in the paper.
        n_warmup: how many steps at the start warm up.

    Raises:
        ValueError: the schedule is unusable, or `decay` no share.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay: expected a number from 0 to below 1, such as 0.999; got {decay}")
    flat_T = without_warmup(lr_T, n_warmup)
    fall_T = -np.diff(flat_T, prepend=flat_T[0])
    momentum_T = signal.lfilter([1.0], [1.0, -decay], fall_T)
    return Areas(np.cumsum(flat_T), np.cumsum(momentum_T))


def without_warmup(lr_T: ndarray, n_warmup: int) -> ndarray:
    """The schedule as if it had started at the rate that its warm-up reaches [T].

    Raises:
        ValueError: a rate is negative or no number, or there is nothing after the warm-up.
    """
    flat_T = np.array(lr_T, float)
    if flat_T.ndim != 1 or not 0 <= n_warmup < len(flat_T):
        raise ValueError(
            f"schedule: expected rates in one row, and a warm-up that ends before them; got shape "
            f"{flat_T.shape} and n_warmup {n_warmup}"
        )
    if not (np.isfinite(flat_T).all() and (flat_T >= 0).all() and flat_T[n_warmup] > 0):
        raise ValueError(
            "schedule: expected learning rates of 0 or more, and above 0 after the warm-up; got "
            f"{flat_T.min():g} to {flat_T.max():g}, {flat_T[n_warmup]:g} after the warm-up"
        )
    flat_T[:n_warmup] = flat_T[n_warmup]
    return flat_T


def block_edges(longest: int) -> ndarray:
    """Edges of the blocks, in steps back: one step each up to `NEAR`, then growing by `GROWTH`."""
    edges = list(range(NEAR + 1))
    while edges[-1] < longest:
        edges.append(int(np.ceil(edges[-1] * GROWTH)))
    return np.array(edges)


def falls_before(lr_s: ndarray, back_K: ndarray) -> Falls:
    """The falls of the rate in each block of steps before the last rate.

    Args:
        lr_s: the rates used [s].
        back_K: edges of the blocks, in steps back from the end, rising from 0 [K].
    """
    fall_s = -np.diff(lr_s, prepend=lr_s[0])
    area_s = np.cumsum(lr_s[::-1])[::-1]
    edge_K = np.maximum(len(lr_s) - back_K, 0)
    size_K = _block_sums(np.abs(fall_s), edge_K)
    weight_K = np.where(size_K > 0, size_K, 1.0)
    lr_K = np.where(size_K > 0, _block_sums(np.abs(fall_s) * lr_s, edge_K) / weight_K, 1.0)
    area_K = _block_sums(np.abs(fall_s) * area_s, edge_K) / weight_K
    return Falls(_block_sums(fall_s, edge_K), lr_K, area_K)


def _block_sums(values_s: ndarray, edge_K: ndarray) -> ndarray:
    sums_s = np.concatenate([[0.0], np.cumsum(values_s)])
    return sums_s[edge_K[:-1]] - sums_s[edge_K[1:]]
