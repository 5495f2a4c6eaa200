"""Grids that quantised weights lie on, emulated in the weights' own precision.

Every row has a scale s, its largest |w| over the largest number of the grid, and a weight is
s round(w / s). `Integer`: 2^(bits - 1) - 1 steps of 1 to each side of 0. `Float8`: E4M3, three bits
of mantissa, so that the step between neighbours is 2^(e - 3) from 2^e to 2^(e + 1), with e from -6
to 8 and nothing above 448 (Micikevicius et al. 2022, arXiv 2209.05433, table 1).

Rounding is to the nearest (to even), or stochastic: up with the probability of the share that lies
above the lower neighbour, so that the mean is w. Source of the granularity: ours, a row.

Axes: R rows, C columns.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

LARGEST_E4M3, LEAST_EXPONENT, MANTISSA_BITS = 448.0, -6, 3  # arXiv 2209.05433, table 1


class Grid(Protocol):
    """Puts weights [R, C] onto a grid; `generator` draws where rounding is stochastic."""

    bits: int

    def __call__(self, w_RC: Tensor, generator: torch.Generator | None) -> Tensor: ...


def rounded(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Whole numbers: the nearest ones, or with a generator one of the two neighbours at random."""
    if generator is None:
        return x.round()
    draw = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return (x + draw).floor()


def row_scale(w_RC: Tensor, largest: float) -> Tensor:
    """What one step of the grid is worth in each row [R, 1]; 1 where a row is zero."""
    scale_R1 = w_RC.abs().amax(-1, keepdim=True) / largest
    return torch.where(scale_R1 == 0, 1.0, scale_R1)


class Integer:
    """Whole numbers of `bits` bits, the same many to each side of 0."""

    def __init__(self, *, bits: int) -> None:
        if not 2 <= bits <= 16:
            raise ValueError(f"optim.build.grid.bits must be from 2 to 16, got {bits}: try 8 or 4")
        self.bits, self.largest = bits, 2.0 ** (bits - 1) - 1

    def __call__(self, w_RC: Tensor, generator: torch.Generator | None) -> Tensor:
        """Weights on the grid [R, C]."""
        scale_R1 = row_scale(w_RC, self.largest)
        whole = rounded(w_RC / scale_R1, generator).clamp(-self.largest, self.largest)
        return whole * scale_R1


class Float8:
    """Floating-point numbers E4M3 of eight bits."""

    bits = 8

    def __call__(self, w_RC: Tensor, generator: torch.Generator | None) -> Tensor:
        """Weights on the grid [R, C]."""
        scale_R1 = row_scale(w_RC, LARGEST_E4M3)
        x_RC = w_RC / scale_R1
        exponent_RC = torch.frexp(x_RC).exponent - 1
        step_RC = torch.exp2(exponent_RC.clamp(min=LEAST_EXPONENT) - MANTISSA_BITS).to(x_RC.dtype)
        near_RC = rounded(x_RC / step_RC, generator) * step_RC
        return near_RC.clamp(-LARGEST_E4M3, LARGEST_E4M3) * scale_R1
