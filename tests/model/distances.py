"""Every distance of `conf/model/head`, as it is built there, for tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from windtunnel.model.head import elementwise
from windtunnel.model.head.elementwise import Blocked, Minkowski, SoftHamming
from windtunnel.model.head.harmonic import HarmonicHead
from windtunnel.model.head.product import Cosine, Euclid, LowRankMahalanobis, Mahalanobis

BETWEEN: dict[str, Any] = {
    "manhattan": elementwise.manhattan,
    "minkowski": Minkowski(3.0),
    "chebyshev": elementwise.chebyshev,
    "canberra": elementwise.canberra,
    "bray_curtis": elementwise.bray_curtis,
    "bray_curtis_bounded": elementwise.bray_curtis_bounded,
    "hamming": SoftHamming(0.5, 0.1),
}
PRODUCT: dict[str, Any] = {
    "euclid": Euclid,
    "cosine": Cosine,
    "mahalanobis": Mahalanobis,
    "mahalanobis_low_rank": partial(LowRankMahalanobis, rank=4),
}
NAMES = [*PRODUCT, *BETWEEN]


def build(name: str, eps: float = 0.0, block: int = 1 << 22) -> Callable[[int], Any]:
    """What builds a distance for a width."""
    if name in PRODUCT:
        return partial(PRODUCT[name], eps=eps)
    return partial(Blocked, between=BETWEEN[name], eps=eps, block=block)


def make_distance(name: str, width: int, eps: float = 0.0, block: int = 1 << 22) -> nn.Module:
    """A distance in float64, its own parameters drawn."""
    distance = build(name, eps, block)(width).double()
    generator = torch.Generator().manual_seed(7)
    for parameter in distance.parameters():
        nn.init.normal_(parameter, 1.0, 0.2, generator=generator)
    return distance


def make_head(name: str, width: int = 12, vocab_size: int = 17, **changes: Any) -> HarmonicHead:
    """A head with rows of O(1), in float64."""
    settings: dict[str, Any] = {
        "tied": False,
        "exponent": 3.0,
        "growth": 0.0,
        "exponent_on": "d",
        "distance": lambda at: make_distance(name, at),
    }
    table = nn.Parameter(rows(vocab_size, width, 3))
    head = HarmonicHead(width, vocab_size, table, **settings | changes)
    with torch.no_grad():
        head.weight.copy_(rows(vocab_size, width, 4))
    return head.double()


def rows(n: int, width: int, seed: int) -> Tensor:
    """Normal numbers [n, width] in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, dtype=torch.float64, generator=generator)
