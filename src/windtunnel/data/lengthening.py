"""Sequence-length warm-up: windows are cut into pieces that grow over the budget.

At a share t of the budget a piece has L = first + (length - first) min(1, t / until)^(1 / power)
tokens, rounded down to a multiple of `multiple`. A window keeps its shape, its tokens and its
targets; attention does not cross from one piece into the next. So a step has as many tokens as
ever, all are scored, and nothing is compiled anew as L grows.
Source: Li, Zhang and He 2022, "The stability-efficiency dilemma", arXiv 2108.06084, section 4, and
DeepSpeed's schedules of it; this is its reshaping, not its truncation. Deviation: what is reshaped
there is masked here, which gives the same sums for relative positions such as rotary ones; learned
positions see later places from the start, and no time is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray


@dataclass(frozen=True, kw_only=True)
class Growing:
    """Tokens of a piece at a share of the budget, from `first` to the whole window."""

    first: int
    multiple: int
    until: float
    power: float

    def __post_init__(self) -> None:
        if self.first < 1 or self.multiple < 1 or self.first % self.multiple:
            raise ValueError(
                "sampler.length.first, multiple: expected whole numbers from 1, the first a "
                f"multiple of the second, got {self.first} and {self.multiple}; try 8 and 8"
            )
        if not 0 < self.until <= 1 or not self.power >= 1:
            raise ValueError(
                "sampler.length.until, power: expected a share of the budget above 0 and up to 1, "
                f"and at least 1, got {self.until} and {self.power}; try 0.5 and 1"
            )

    def lengths(self, shares: ndarray, length: int) -> ndarray:
        """Tokens of a piece [n] at shares of the budget [n], for windows of `length` tokens."""
        grown = np.minimum(shares / self.until, 1) ** (1 / self.power)
        lengths = self.first + max(length - self.first, 0) * grown
        lengths = np.floor(lengths / self.multiple).astype(np.int64) * self.multiple
        return np.where(grown < 1, np.minimum(lengths, length), length)
