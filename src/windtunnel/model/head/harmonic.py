"""Harmonic head: a token is the more probable, the nearer its row lies to the hidden state.

    p_v = d_v^-n / sum_u d_u^-n,  so  logits_v = -n log d_v,    d_v = d(h, w_v)

A finite row is best, the centre of its class, where the rows of a linear head grow without end.
Since log-softmax drops what all tokens share, d is given per coordinate (`product`, `elementwise`):
the mean square difference of Euclid, the mean difference of Manhattan, and so on.

Source: Baek et al. 2025, arXiv 2502.01628, equations 2 and 3, with n = sqrt(D); other distances:
arXiv 2603.10225, whose formulas are standard ones here. `exponent_on` says what n is the exponent
of: d as in the paper, or d^2 as in its code, which doubles it. Everything is in float32 or better.

How it follows the width D. Hidden states and rows have entries of O(1), so every distance per
coordinate is O(1); over random rows it varies by O(D^-1/2), since D coordinates average (the
largest of them, Chebyshev's, by O(1 / log D)). Once rows and states have moved towards each other,
each coordinate has moved by O(1) in the same sense, and log d by O(1), whatever D is; one step of
Adam with rate lr moves it by O(lr). So rows keep their spread and their rate at every width, and

    n fixed         logits move by O(1), and start as O(D^-1/2): what muP asks of an output
    n ~ sqrt(D)     logits start as O(1), and move by O(sqrt(D)): as attention with 1/sqrt(D) does

This is a linear head's case: for small rows -n/2 log d^2 = const + (n / D) h.w, so n / D stands
where its multiplier stands, has its role, and muP divides it by the growth of the width: n is
fixed. A parametrisation that divides nothing lets n grow with D: as D itself in the paper's
GPT-2 script, as sqrt(D) in its text. Both are kept by one formula with the forward `scale`,

    n = exponent (scale D)^growth,    scale D: D in the standard parametrisation, D_base under muP

Axes: B batch, T time, N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role
from windtunnel.model.linear import prefix

POWERS = {"d": 1.0, "d2": 2.0}


class HarmonicHead(nn.Module):
    """logits = -n log distance(h, w_v), with rows W [V, D] its own or the token table (`tied`)."""

    scale = 1.0

    def __init__(
        self,
        width: int,
        vocab_size: int,
        table: nn.Parameter,
        *,
        tied: bool,
        exponent: float,
        growth: float,
        exponent_on: Literal["d", "d2"],
        distance: Callable[[int], Any],
    ) -> None:
        """Refuses an exponent that gives no distribution, or one that shrinks with the width.

        Args:
            width: size of a hidden state.
            vocab_size: number of tokens.
            table: the token table.
            tied: whether the rows are those of the table.
            exponent: n at scale D = 1, and so at any width where `growth` is 0.
            growth: power of scale D that n follows; 0.5 for the paper's sqrt(D).
            exponent_on: what n is the exponent of.
            distance: builds, for a width, what gives log d [N, V] of states and rows.
        """
        super().__init__()
        if not 0 < exponent < math.inf:
            raise ValueError(
                f"model.head.exponent must be a number above 0, got {exponent}: at 0 all tokens "
                "are equally probable, and below it the farthest is the most probable"
            )
        if not 0 <= growth <= 1:
            raise ValueError(
                f"model.head.growth must lie between 0 and 1, got {growth}: give 0 for a fixed "
                "exponent, 0.5 for sqrt(width), 1 for the width"
            )
        if exponent_on not in POWERS:
            raise ValueError(
                f"model.head.exponent_on must be d or d2, got {exponent_on!r}: choose d for the "
                "exponent of the distance, d2 for that of its square"
            )
        self.weight = table if tied else nn.Parameter(torch.empty(vocab_size, width))
        self.exponent, self.growth, self.power = exponent, growth, POWERS[exponent_on]
        self.distance = distance(width)

    @property
    def n(self) -> float:
        """The exponent of d at this width."""
        return self.power * self.exponent * (self.scale * self.weight.shape[1]) ** self.growth

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            hidden_ND = at_least_float32(hidden_BTD).flatten(0, -2)
            log_NV = self.distance(hidden_ND, at_least_float32(self.weight))
        return (-self.n * log_NV).unflatten(0, hidden_BTD.shape[:-1])

    def roles(self, base: HarmonicHead) -> dict[str, Place]:
        (vocab_size, width), base_width = self.weight.shape, base.weight.shape[1]
        place = Place(Role.OUTPUT, width, vocab_size, Base(base_width, vocab_size))
        return {"weight": place} | prefix("distance", self.distance.roles(base.distance))


def at_least_float32(x: Tensor) -> Tensor:
    """The same in float32, or in float64 where it is: differences cancel in fewer digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
