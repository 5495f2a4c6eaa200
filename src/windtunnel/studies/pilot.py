"""The annealing law as a few runs tell it, asked about the same schedule at other learning rates.

    L = L_0 + A S1^-alpha - C S2

A run's curve gives A, alpha and C, and a trial's own rates give its areas S1 and S2; L_0 is the
trial's own, and drops out of what is still to come, L(end) - L(now).

The areas of a rate twice as high are twice as large, and a law fitted to one run then expects twice
the annealing of it, which is far too much. So runs at two rates or more are fitted together, each
with its own L_0, with areas of the rate lr^p lr_1^(1 - p): p = 1 is the law as it stands, and with
p = 0 all rates have the same still to come.

Source: Tissue et al. 2024, arXiv 2408.11029, equation 1. That the coefficients are taken over to
other peak rates, and p, are ours.

Axes: E evaluations, P points of all curves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.optimize import brute, fmin, lsq_linear

from windtunnel.interfaces import Schedule
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.schedule import Areas
from windtunnel.studies.curves import areas_at, rates
from windtunnel.studies.method import Method

LAW = by_name("lr_annealing")
EXPONENTS = (0.0, 2.0)  # p that are searched
LOG_ALPHAS = (math.log(0.05), math.log(5.0))
STARTS = 16  # of p, and of alpha

Curves = Mapping[float, Sequence[float | None]]


@dataclass(frozen=True)
class Pilot:
    """What all trials share.

    schedule: multiplier of the peak rate. warmup_tokens: over which it warms up. tokens: training
    tokens at each evaluation, the last at the end. tokens_per_step: of one optimiser step. decay:
    what is left of the annealing momentum after a step. method: how to fit to one curve.
    """

    schedule: Schedule
    warmup_tokens: int
    tokens: Sequence[int]
    tokens_per_step: int
    decay: float
    method: Method

    @property
    def first(self) -> int:
        """The first evaluation after the warm-up, counted from 0."""
        return sum(tokens <= self.warmup_tokens for tokens in self.tokens)

    def fit(self, curves: Curves) -> dict[str, float]:
        """The coefficients of the law, `p`, and `lr`, the rate at which p counts for nothing.

        Args:
            curves: losses in nats of a run after each evaluation, by its peak rate. From one curve
                p is 1.
        """
        lr = next(iter(curves))
        if len(curves) == 1:
            places, loss_P = self._points(curves[lr])
            S1_E, S2_E = self.areas(lr)
            x = {"S1": S1_E[places], "S2": S2_E[places]}
            theta = dict(self.method.fit(LAW, x, loss_P).parameters)
            return {name: theta[name] for name in ("A", "alpha", "C")} | {"p": 1.0, "lr": lr}
        place: Any = brute(
            lambda tried: self._solved(curves, *tried)[0],
            (EXPONENTS, LOG_ALPHAS),
            Ns=STARTS,
            finish=fmin,
            disp=False,
        )
        p, log_alpha = (float(value) for value in place)
        _, (A, C) = self._solved(curves, p, log_alpha)
        return {"A": A, "alpha": math.exp(log_alpha), "C": C, "p": p, "lr": lr}

    def _points(self, curve: Sequence[float | None]) -> tuple[list[int], ndarray]:
        """Places and losses [P] of a curve after the warm-up."""
        pairs = [(i, v) for i, v in enumerate(curve) if v is not None and i >= self.first]
        return [i for i, _ in pairs], np.array([v for _, v in pairs])

    def _solved(
        self, curves: Curves, p: float, log_alpha: float
    ) -> tuple[float, tuple[float, float]]:
        """Sum of squares, and A and C, which are linear in the loss as each curve's L_0 is."""
        reference, alpha = next(iter(curves)), math.exp(log_alpha)
        if not EXPONENTS[0] <= p <= EXPONENTS[1]:
            return math.inf, (math.nan, math.nan)
        rows, targets = [], []
        for index, (lr, curve) in enumerate(curves.items()):
            places, loss_P = self._points(curve)
            S1_E, S2_E = self.areas(lr**p * reference ** (1 - p))
            own = np.zeros((len(places), 2 + len(curves)))
            own[:, 0], own[:, 1], own[:, 2 + index] = S1_E[places] ** -alpha, -S2_E[places], 1
            rows.append(own)
            targets.append(loss_P)
        least = [0.0, 0.0] + [-np.inf] * len(curves)
        found = lsq_linear(np.concatenate(rows), np.concatenate(targets), (least, np.inf))
        return float(found.cost), (float(found.x[0]), float(found.x[1]))

    def gain(self, theta: Mapping[str, float], lr: float) -> ndarray:
        """What a trial's loss is still to change by from each evaluation to the end [E]."""
        p = theta["p"]
        S1_E, S2_E = self.areas(lr**p * theta["lr"] ** (1 - p))
        law_E = theta["A"] * S1_E ** -theta["alpha"] - theta["C"] * S2_E
        return law_E[-1] - law_E

    def areas(self, lr: float) -> Areas:
        """S1 and S2 of a rate after each evaluation [E]."""
        lr_T = rates(self.schedule, lr, self.tokens[-1], self.tokens_per_step)
        return areas_at(
            lr_T,
            self.tokens,
            self.tokens_per_step,
            decay=self.decay,
            warmup_tokens=self.warmup_tokens,
        )
