"""Distances of states and rows that come from a matrix product, as log d per coordinate.

    Euclid        d^2 = |h - w|^2 / D = (|h|^2 + |w|^2 - 2 h.w) / D
    cosine        d   = 1 - h.w / (|h| |w|)
    Mahalanobis   d^2 = (h - w)^T M (h - w) / D,    M = diag(s^2), or
                                                    M = diag(s^2) + (D / r) scale^2 U^T U

Source: Baek et al. 2025, arXiv 2502.01628; arXiv 2603.10225 for the last two. `eps` is added to d^2
per coordinate (to d for cosine), so it means the same at every width; without it a state on top of
its row has a gradient without bound.

s [D] starts at 1, and is a gain outside of all branches. U [r, D] makes r features of a difference,
of which the mean square is added. r does not grow, so that U is an output: rows that move against
its features change them by O(D) times its entries, which muP's forward multiplier `scale` undoes.

Axes: N tokens, D width, V vocabulary, R rank.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role


def log_euclid(hidden_ND: Tensor, weight_VD: Tensor, width: int, eps: float) -> Tensor:
    """log sqrt(|h - w|^2 / width + eps) [N, V]."""
    lengths_NV = hidden_ND.square().sum(-1, keepdim=True) + weight_VD.square().sum(-1)
    square_NV = (lengths_NV - 2 * F.linear(hidden_ND, weight_VD)).clamp(min=0)
    return 0.5 * torch.log(square_NV / width + eps)


class Euclid(nn.Module):
    """The root mean square difference."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.width, self.eps = width, eps

    def forward(self, hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
        return log_euclid(hidden_ND, weight_VD, self.width, self.eps)

    def roles(self, base: Euclid) -> dict[str, Place]:
        return {}


class Cosine(nn.Module):
    """One less the cosine of the angle between state and row."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
        cosine_NV = F.linear(F.normalize(hidden_ND, dim=-1), F.normalize(weight_VD, dim=-1))
        return torch.log((1 - cosine_NV).clamp(min=0) + self.eps)

    def roles(self, base: Cosine) -> dict[str, Place]:
        return {}


class Mahalanobis(nn.Module):
    """The root mean square difference, each coordinate in its own learned unit."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
        width = len(self.gain)
        return log_euclid(self.features(hidden_ND), self.features(weight_VD), width, self.eps)

    def features(self, x_ND: Tensor) -> Tensor:
        """What the Euclidean distance is taken of."""
        return x_ND * self.gain.to(x_ND.dtype)

    def roles(self, base: Mahalanobis) -> dict[str, Place]:
        place = Place(Role.OUTER_VECTOR, 1, len(self.gain), Base(1, len(base.gain)), "ones")
        return {"gain": place}


class LowRankMahalanobis(Mahalanobis):
    """The same with `rank` learned directions besides."""

    scale = 1.0

    def __init__(self, width: int, *, rank: int, eps: float) -> None:
        super().__init__(width, eps=eps)
        if not 1 <= rank <= width:
            raise ValueError(
                f"model.head.distance.rank must lie between 1 and model.width={width}, got {rank}: "
                "lower it, or take model/head=mahalanobis, which has none"
            )
        self.directions = nn.Parameter(torch.empty(rank, width))

    def features(self, x_ND: Tensor) -> Tensor:
        rank, width = self.directions.shape
        along_NR = F.linear(x_ND, self.directions.to(x_ND.dtype))
        along_NR = along_NR * (self.scale * math.sqrt(width / rank))
        return torch.cat([super().features(x_ND), along_NR], -1)

    def roles(self, base: LowRankMahalanobis) -> dict[str, Place]:
        rank, width = self.directions.shape
        place = Place(Role.OUTPUT, width, rank, Base(base.directions.shape[1], rank))
        return super().roles(base) | {"directions": place}
