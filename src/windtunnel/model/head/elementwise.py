"""Distances of states and rows that no matrix product gives, as log d per coordinate.

    Manhattan     mean |h - w|
    Minkowski     (mean |h - w|^p)^(1/p),  p >= 1
    Chebyshev     max |h - w|
    Canberra      mean of |h - w| / (|h| + |w|)
    Bray-Curtis   sum |h - w| / sum |h + w|, or over sum (|h| + |w|), which is at most 1
    Hamming       mean of sigmoid((|h - w| - threshold) / temperature), soft

with means and sums over the D coordinates. Source: textbook definitions, over D where they are
sums; their use in a harmonic head: arXiv 2603.10225, whose own formulas were not to be had.

Each needs [tokens, vocabulary, width] numbers, so it is taken over blocks of the vocabulary, each
of which is computed again in the backward pass instead of being kept.

Axes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from windtunnel.interfaces import Place

SMALL = 1e-6  # what a quotient's denominator is raised by, per coordinate
TINY = 1e-30  # below every number that is not 0, in float32

Between = Callable[[Tensor, Tensor], Tensor]


class Blocked(nn.Module):
    """log(d + eps) [N, V] of states [N, D] and rows [V, D].

    between: d of states [N, 1, D] and rows [V, D]. block: how many numbers of [tokens, block of the
    vocabulary, width] are held at once; the result does not depend on it.
    """

    def __init__(self, width: int, *, between: Between, eps: float, block: int) -> None:
        super().__init__()
        if block < 1:
            raise ValueError(
                f"model.head.distance.block must be at least 1, got {block}: it is how many "
                "numbers are held at once"
            )
        self.between, self.eps, self.block = between, eps, block

    def forward(self, hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
        rows = max(1, self.block // hidden_ND.numel())
        hidden_N1D = hidden_ND.unsqueeze(1)
        blocks = [self._distance(hidden_N1D, part) for part in weight_VD.split(rows)]
        return torch.log(torch.cat(blocks, -1) + self.eps)

    def _distance(self, hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
        distance_NV = checkpoint(
            self.between, hidden_N1D, weight_VD, use_reentrant=False, preserve_rng_state=False
        )
        assert isinstance(distance_NV, Tensor)  # what `between` gives
        return distance_NV

    def roles(self, base: Blocked) -> dict[str, Place]:
        return {}


def manhattan(hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
    """Mean difference [N, V]."""
    return (hidden_N1D - weight_VD).abs().mean(-1)


def chebyshev(hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
    """Largest difference [N, V]."""
    return (hidden_N1D - weight_VD).abs().amax(-1)


def canberra(hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
    """Mean difference, each relative to its coordinate's sizes [N, V], between 0 and 1."""
    sizes_NVD = hidden_N1D.abs() + weight_VD.abs() + SMALL
    return ((hidden_N1D - weight_VD).abs() / sizes_NVD).mean(-1)


def bray_curtis(hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
    """Differences over the size of the sums [N, V], at most 1 where no coordinate is below 0."""
    sums_NV = (hidden_N1D + weight_VD).abs().mean(-1) + SMALL
    return manhattan(hidden_N1D, weight_VD) / sums_NV


def bray_curtis_bounded(hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
    """Differences over the sum of the sizes [N, V], at most 1."""
    sizes_NV = hidden_N1D.abs().mean(-1) + weight_VD.abs().mean(-1) + SMALL
    return manhattan(hidden_N1D, weight_VD) / sizes_NV


@dataclass(frozen=True)
class Minkowski:
    """The power mean of the differences [N, V], relative to the largest so that none overflows."""

    p: float

    def __post_init__(self) -> None:
        if self.p < 1:
            raise ValueError(
                f"model.head.distance.between.p must be at least 1, got {self.p}: below it the "
                "way round by a third point may be shorter, so it is no distance"
            )

    def __call__(self, hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
        difference_NVD = (hidden_N1D - weight_VD).abs()
        largest_NV1 = difference_NVD.detach().amax(-1, keepdim=True).clamp(min=TINY)
        mean_NV = (difference_NVD / largest_NV1).pow(self.p).mean(-1).clamp(min=TINY)
        return largest_NV1.squeeze(-1) * mean_NV.pow(1 / self.p)


@dataclass(frozen=True)
class SoftHamming:
    """The share of coordinates that differ by more than a threshold [N, V], softly."""

    threshold: float
    temperature: float

    def __post_init__(self) -> None:
        if self.threshold < 0 or self.temperature <= 0:
            raise ValueError(
                "model.head.distance.between: expected threshold >= 0 and temperature > 0, got "
                f"{self.threshold} and {self.temperature}: a temperature towards 0 counts hard"
            )

    def __call__(self, hidden_N1D: Tensor, weight_VD: Tensor) -> Tensor:
        difference_NVD = (hidden_N1D - weight_VD).abs()
        return torch.sigmoid((difference_NVD - self.threshold) / self.temperature).mean(-1)
