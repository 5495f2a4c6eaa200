"""Matrix products, and the lines that state their roles.

A parametrisation sets `scale`, the forward multiplier of its role; a plain number, so that the
compiled and the sharded model see nothing but a constant.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role

Start = Literal["normal", "zeros", "ones"]


class Linear(nn.Linear):
    """Product with a matrix [fan_out, fan_in], no bias, times `scale`."""

    scale = 1.0

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        output = F.linear(input, self.weight)
        return output if self.scale == 1.0 else output * self.scale

    def place(
        self, role: Role, base: Linear, start: Start = "normal", heads: tuple[int, int] = (1, 1)
    ) -> Place:
        """Where the matrix stands, given the same matrix, and its heads, in the base model."""
        fans = Base(base.in_features, base.out_features, heads[1])
        return Place(role, self.in_features, self.out_features, fans, start, heads[0])


def prefix(name: str, places: dict[str, Place]) -> dict[str, Place]:
    """The places of a submodule under its name in the module that holds it."""
    return {f"{name}.{key}": place for key, place in places.items()}
