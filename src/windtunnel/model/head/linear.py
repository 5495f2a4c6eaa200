"""The usual output head: one matrix product.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Projection, Role


class LinearHead(nn.Module):
    """logits = multiplier * scale * h W^T, with W [V, D] its own or the token table (`tied`).

    With `softcap` c the logits are c tanh(logits / c) (Gemma 2, arXiv 2408.00118, section 2). A
    tied table keeps the role of an input; the head then only divides by the width, in the forward
    pass (see `parametrization`).
    """

    scale = 1.0

    def __init__(
        self,
        width: int,
        vocab_size: int,
        table: nn.Parameter,
        *,
        tied: bool,
        zero: bool,
        softcap: float | None,
        multiplier: float,
    ) -> None:
        super().__init__()
        self.weight = table if tied else nn.Parameter(torch.empty(vocab_size, width))
        self.tied, self.zero = tied, zero
        self.softcap, self.multiplier = softcap, multiplier

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        hidden_BTD, weight_VD, bias_V, softcap = self.project(hidden_BTD)
        logits_BTV = F.linear(hidden_BTD, weight_VD, bias_V)
        return logits_BTV if softcap is None else softcap * torch.tanh(logits_BTV.float() / softcap)

    def project(self, hidden_BTD: Tensor) -> Projection:
        """The factors of the product: scaled hidden states [B, T, D] and the weight [V, D]."""
        scaled_BTD = hidden_BTD * (self.multiplier * self.scale)
        return Projection(scaled_BTD, self.weight, softcap=self.softcap)

    def roles(self, base: LinearHead) -> dict[str, Place]:
        (vocab_size, width), base_width = self.weight.shape, base.weight.shape[1]
        start = "zeros" if self.zero and not self.tied else "normal"
        place = Place(Role.OUTPUT, width, vocab_size, Base(base_width, vocab_size), start)
        return {"weight": place}
