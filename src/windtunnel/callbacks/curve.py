"""A long series as a curve of few points, each the mean over the steps since the point before.

A point is closed by the first value at least s steps after the point before, with the stride
s = ceil(steps / points); it stands at that step's token. The last point may stand for fewer steps.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from windtunnel.interfaces import Curve


def stride_for(n_steps: int, n_points: int) -> int:
    """Steps that one point stands for, so that `n_steps` give at most `n_points` points."""
    return max(1, -(-n_steps // n_points))


@dataclass
class Averager:
    """Collects values as steps go by and gives the thinned curve."""

    stride: int
    tokens_per_step: int
    tokens: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    last_step: int = 0
    closed_step: int = 0
    held: float = 0.0
    n_held: int = 0

    def add(self, step: int, value: float) -> None:
        """Takes the value of optimiser step `step`, counted from one."""
        self.last_step = step
        self.held += value
        self.n_held += 1
        if step - self.closed_step >= self.stride:
            self.closed_step = step
            self.tokens.append(step * self.tokens_per_step)
            self.values.append(self.held / self.n_held)
            self.held, self.n_held = 0.0, 0

    def curve(self) -> Curve:
        """The points so far; steps since the last full point make one more."""
        if not self.n_held:
            return Curve(list(self.tokens), list(self.values))
        tail = self.last_step * self.tokens_per_step
        return Curve([*self.tokens, tail], [*self.values, self.held / self.n_held])

    def state(self) -> dict[str, Any]:
        """All of it in plain types, for a checkpoint."""
        return dataclasses.asdict(self)
