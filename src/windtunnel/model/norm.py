"""Normalisation of the last axis, with a learned gain.

RMSNorm: x / sqrt(mean(x^2) + eps) * gain. Source: Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4.
LayerNorm: (x - mean(x)) / sqrt(var(x) + eps) * gain. Source: Ba et al. 2016, arXiv 1607.06450;
without its bias, which pre-norm language models do as well without.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch import ones as torch_ones

from windtunnel.interfaces import Base, Place, Role


class RMSNorm(nn.Module):
    """Divides by the root mean square of the last axis of size `width`."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch_ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gain.shape, self.gain.to(x.dtype), self.eps)

    def roles(self, base: RMSNorm, role: Role = Role.VECTOR) -> dict[str, Place]:
        return {"gain": vector(role, self.gain, base.gain)}


class LayerNorm(nn.Module):
    """Centres the last axis of size `width` and divides by its standard deviation."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch_ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gain.shape, self.gain.to(x.dtype), None, self.eps)

    def roles(self, base: LayerNorm, role: Role = Role.VECTOR) -> dict[str, Place]:
        return {"gain": vector(role, self.gain, base.gain)}


def vector(role: Role, gain: nn.Parameter, base: nn.Parameter) -> Place:
    """A gain per channel: one input to each, as many outputs as there are channels."""
    return Place(role, 1, gain.numel(), Base(1, base.numel()), "ones")
