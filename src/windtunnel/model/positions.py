"""How a model knows the order of its tokens: by rotation, by a learned table, or not at all.

Each kind has two methods: `embed` acts on the embedded tokens, `rotate` on queries and keys.

Axes: B batch, H heads, T time, K head size, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role


class Unordered(nn.Module):
    """No position at all: a causal model can still count (Haviv et al. 2022, arXiv 2203.16634)."""

    def __init__(self, width: int, head_size: int, length: int) -> None:
        super().__init__()

    def embed(self, x_BTD: Tensor) -> Tensor:
        return x_BTD

    def rotate(self, x_BHTK: Tensor) -> Tensor:
        return x_BHTK

    def roles(self, base: Unordered) -> dict[str, Place]:
        return {}


class Rope(Unordered):
    """Turns channel i and i + K/2 of every head by the angle t * theta^(-2i/K).

    Source: Su et al. 2021, arXiv 2104.09864, eq. 34; halves instead of neighbours, as in GPT-NeoX.
    """

    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, width: int, head_size: int, length: int, *, theta: float) -> None:
        super().__init__(width, head_size, length)
        if head_size % 2:
            raise ValueError(
                f"model.head_size must be even for rotary positions, got {head_size}: "
                "choose an even head size or model/positions=learned"
            )
        frequencies = theta ** (-torch.arange(0, head_size, 2) / head_size)
        angles_TK = torch.outer(torch.arange(length), frequencies).repeat(1, 2)
        sign_K = torch.cat([-torch.ones(head_size // 2), torch.ones(head_size // 2)])
        self.register_buffer("cos_TK", angles_TK.cos(), persistent=False)
        self.register_buffer("sin_TK", angles_TK.sin() * sign_K, persistent=False)

    def rotate(self, x_BHTK: Tensor) -> Tensor:
        length, half = x_BHTK.shape[-2], x_BHTK.shape[-1] // 2
        cos, sin = self.cos_TK[:length], self.sin_TK[:length]
        turned = torch.cat([x_BHTK[..., half:], x_BHTK[..., :half]], dim=-1)
        return (x_BHTK * cos + turned * sin).to(x_BHTK.dtype)


class Learned(Unordered):
    """Adds a row of a learned table [T, D] to every token's embedding."""

    def __init__(self, width: int, head_size: int, length: int) -> None:
        super().__init__(width, head_size, length)
        self.weight = nn.Parameter(torch.empty(length, width))

    def embed(self, x_BTD: Tensor) -> Tensor:
        return x_BTD + self.weight[: x_BTD.shape[1]]

    def roles(self, base: Learned) -> dict[str, Place]:
        length, width = self.weight.shape
        return {"weight": Place(Role.INPUT, length, width, Base(length, base.weight.shape[1]))}
