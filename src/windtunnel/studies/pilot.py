"""The annealing law as one run tells it, asked about the same schedule at other learning rates.

    L = L_0 + A S1^-alpha - C S2

A run's curve gives A, alpha and C, and a trial's own rates give its areas S1 and S2; L_0 is the
trial's own, and drops out of what is still to come, L(end) - L(now).

Source: Tissue et al. 2024, arXiv 2408.11029, equation 1. That the coefficients are taken over to
other peak rates is ours.

Axes: E evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Schedule
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.schedule import Areas
from windtunnel.studies.curves import areas_at, rates
from windtunnel.studies.method import Method

LAW = by_name("lr_annealing")


@dataclass(frozen=True)
class Pilot:
    """What all trials share.

    schedule: multiplier of the peak rate. warmup_tokens: over which it warms up. tokens: training
    tokens at each evaluation, the last at the end. tokens_per_step: of one optimiser step. decay:
    what is left of the annealing momentum after a step. method: how to fit.
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

    def fit(self, curve: Sequence[float | None], lr: float) -> dict[str, float]:
        """The coefficients of the law, from a run's losses in nats after each evaluation."""
        pairs = [(i, v) for i, v in enumerate(curve) if v is not None and i >= self.first]
        places = [i for i, _ in pairs]
        S1_E, S2_E = self.areas(lr)
        x = {"S1": S1_E[places], "S2": S2_E[places]}
        return dict(self.method.fit(LAW, x, np.array([v for _, v in pairs])).parameters)

    def gain(self, theta: Mapping[str, float], lr: float) -> ndarray:
        """What a trial's loss is still to change by from each evaluation to the end [E]."""
        S1_E, S2_E = self.areas(lr)
        law_E = theta["A"] * S1_E ** -theta["alpha"] - theta["C"] * S2_E
        return law_E[-1] - law_E

    def areas(self, lr: float) -> Areas:
        """S1 and S2 of a trial's rates after each evaluation [E]."""
        lr_T = rates(self.schedule, lr, self.tokens[-1], self.tokens_per_step)
        return areas_at(
            lr_T,
            self.tokens,
            self.tokens_per_step,
            decay=self.decay,
            warmup_tokens=self.warmup_tokens,
        )
