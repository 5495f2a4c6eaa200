"""Which group gives which sequence, so that every group always has what was asked for it.

Weights w_g(n) over sequences n ask for A_g(n) = int_0^n w_g of the first n. Turns are given so that
|count_g(n) - A_g(n)| < 1 for every group at every n: the j-th sequence of a group, j = 0, 1, ...,
may not come before A_g exceeds j nor after A_g has reached j + 1, and of all that may come the one
whose time runs out first does. Weights are linear between knots, and stay as they are after the
last one.
Source: Tijdeman 1980, "The chairman assignment problem", Discrete Mathematics 32; the rule is
"earliest deadline first" of Baruah et al. 1996, "Proportionate progress: a notion of fairness in
resource allocation", Algorithmica 15.

Axes: K knots, G groups.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Literal

import numpy as np
from numpy import ndarray

_BLOCK = 4096  # turns that are given at once
_KEPT = 4  # blocks kept in memory
_ROUNDING = 1e-6  # of a time, in sequences


class Turns:
    """Turns of groups: a function of the number of the sequence alone.

    knots_K: numbers of sequences, from 0, ascending; twice the same where weights jump.
    weights_KG: weights at them, above or equal to 0, with sum 1.
    """

    def __init__(self, knots_K: ndarray, weights_KG: ndarray) -> None:
        self._knots_K = np.asarray(knots_K, float)
        self._weights_KG = np.asarray(weights_KG, float)
        steps_KG = np.diff(self._knots_K)[:, None] * (weights_KG[1:] + weights_KG[:-1]) / 2
        zeros_G = np.zeros((1, self._weights_KG.shape[1]))
        self._asked_KG = np.concatenate([zeros_G, np.cumsum(steps_KG, 0)])
        spans_K = np.append(np.diff(self._knots_K), np.inf)
        rises_KG = np.concatenate([np.diff(self._weights_KG, axis=0), zeros_G])
        spans_K1 = np.where(spans_K > 0, spans_K, np.inf)[:, None]
        self._slopes_KG = rises_KG / spans_K1
        self._counts = [np.zeros(zeros_G.shape[1], np.int64)]  # before each block
        self._blocks: dict[int, tuple[ndarray, ndarray]] = {}

    def at(self, first: int, last: int) -> tuple[ndarray, ndarray]:
        """Groups that give the sequences from `first` to before `last`, and how many each gave."""
        if self._weights_KG.shape[1] == 1:
            numbers = np.arange(first, last)
            return np.zeros_like(numbers), numbers
        blocks = [self._block(i) for i in range(first // _BLOCK, (last - 1) // _BLOCK + 1)]
        start = first // _BLOCK * _BLOCK
        groups, visits = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return groups[first - start : last - start], visits[first - start : last - start]

    def asked(self, n: int) -> ndarray:
        """Sequences asked of each group among the first n [G]."""
        k = int(np.searchsorted(self._knots_K, n, side="right")) - 1
        span = n - self._knots_K[k]
        mean_G = self._weights_KG[k] + self._slopes_KG[k] * span / 2
        return self._asked_KG[k] + span * mean_G

    def _block(self, i: int) -> tuple[ndarray, ndarray]:
        while i >= len(self._counts):
            self._give(len(self._counts) - 1)
        if i not in self._blocks:
            self._give(i)
        return self._blocks[i]

    def _give(self, i: int) -> None:
        """Gives the turns of block i, for which the counts before it are known."""
        begin, end = i * _BLOCK, (i + 1) * _BLOCK
        before_G = self._counts[i]
        groups = np.array(_earliest_first(*self._windows(before_G, begin, end), begin, end))
        visits = np.empty_like(groups)
        for g, count in enumerate(before_G):
            own = np.flatnonzero(groups == g)
            visits[own] = count + np.arange(len(own))
        if i + 1 == len(self._counts):
            self._counts.append(before_G + np.bincount(groups, minlength=len(before_G)))
        if len(self._blocks) >= _KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[i] = (groups, visits)

    def _windows(self, before_G: ndarray, begin: int, end: int) -> tuple[list, list, list]:
        """First slot, deadline and group of every turn that may come before `end`, by first slot.

        Times are rounded so that a window is rather too narrow than too wide.
        """
        firsts, deadlines, groups = [], [], []
        for g, (count, asked) in enumerate(zip(before_G, self.asked(end), strict=True)):
            turns = np.arange(count, max(int(np.ceil(asked)), count))
            firsts.append(np.floor(self._time(g, turns, "right") + _ROUNDING))
            deadlines.append(np.ceil(self._time(g, turns + 1, "left") - _ROUNDING))
            groups.append(np.full(len(turns), g))
        first, deadline, group = (np.concatenate(parts) for parts in (firsts, deadlines, groups))
        order = np.argsort(first, kind="stable")
        return first[order].tolist(), deadline[order].tolist(), group[order].tolist()

    def _time(self, g: int, asked: ndarray, side: Literal["left", "right"]) -> ndarray:
        """When A_g reaches `asked` [m] (side left), or when it begins to exceed it (right)."""
        reached_K = self._asked_KG[:, g]
        k = np.maximum(np.searchsorted(reached_K, asked, side=side) - 1, 0)
        rest = asked - reached_K[k]
        weight, slope = self._weights_KG[k, g], self._slopes_KG[k, g]
        root = np.sqrt(np.maximum(weight**2 + 2 * slope * rest, 0))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            span = np.where(rest > 0, 2 * rest / (weight + root), 0.0)
        return self._knots_K[k] + span


def _earliest_first(first: list, deadline: list, group: list, begin: int, end: int) -> list[int]:
    """Group of every slot; of the turns that may come the one with the earliest deadline."""
    waiting: list[tuple[float, int]] = []
    given, i = [], 0
    for slot in range(begin, end):
        while i < len(first) and first[i] <= slot:
            heappush(waiting, (deadline[i], group[i]))
            i += 1
        given.append(heappop(waiting)[1])
    return given
