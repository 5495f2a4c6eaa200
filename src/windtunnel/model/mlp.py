"""The part of a block that acts on each token alone.

gelu: W2 gelu(W1 x); squared relu: W2 relu(W1 x)^2 (So et al. 2021, arXiv 2109.08668); SwiGLU:
W2 (silu(Wg x) * W1 x) (Shazeer 2020, arXiv 2002.05202, eq. 6).

Axes: B batch, T time, D width, F inner width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Place, Role
from windtunnel.model.linear import Linear


class GeluMLP(nn.Module):
    """Two matrices with a gelu between them; the inner width is `expansion` times the width."""

    def __init__(self, width: int, *, expansion: float) -> None:
        super().__init__()
        inner = round(expansion * width)
        self.up = Linear(width, inner)
        self.down = Linear(inner, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x_BTD), approximate="tanh"))

    def roles(self, base: GeluMLP) -> dict[str, Place]:
        return {
            "up.weight": self.up.place(Role.HIDDEN, base.up),
            "down.weight": self.down.place(Role.WRITER, base.down),
        }


class SquaredReluMLP(GeluMLP):
    """Two matrices with the square of a relu between them."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x_BTD)).square())


class SwiGLU(GeluMLP):
    """A gate of silu on the inner width; `expansion` 8/3 costs as much as 4 without a gate."""

    def __init__(self, width: int, *, expansion: float) -> None:
        super().__init__(width, expansion=expansion)
        self.gate = Linear(width, self.up.out_features)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD))

    def roles(self, base: SwiGLU) -> dict[str, Place]:
        return super().roles(base) | {"gate.weight": self.gate.place(Role.HIDDEN, base.gate)}
