"""VQ-Logits: tokens share the rows of a small codebook.

    logits_v = multiplier * scale * h . q_M(v),    codebook Q [K, D], codes M: V -> K

A code k that n_k tokens share has the probability of all of them, each of which gets the same:

    logsumexp_v logits_v = logsumexp_k (l_k + log n_k),    p(v) = p(M(v)) / n_M(v)

so the loss over V tokens is that over K codes with bias log n_k, and log n_M(v) on top, which no
training lowers: E[log n_M(v)] is the floor of the loss. The product and its gradient are V / K
times smaller; the logits of all tokens are only made where they are asked for.

Source: arXiv 2505.10202 (abstract); the identity is ours to show, see the tests. A third party
says that the paper was withdrawn for too few experiments, so its figures are no yardstick.

Axes: B batch, T time, D width, V vocabulary, K codes.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role


class Assign(Protocol):
    """Gives every token [V] one of `n_codes` codes."""

    def __call__(self, vocab_size: int, n_codes: int) -> Tensor: ...


class VQHead(nn.Module):
    """A codebook of V / `tokens_per_code` rows; `codes_V` and `sizes_K` say who shares what."""

    scale = 1.0
    codes_V: Tensor
    sizes_K: Tensor

    def __init__(
        self,
        width: int,
        vocab_size: int,
        table: nn.Parameter,
        *,
        tokens_per_code: float,
        assign: Assign,
        zero: bool,
        multiplier: float,
    ) -> None:
        """Refuses more codes than there are tokens.

        Args:
            width: size of a hidden state.
            vocab_size: number of tokens.
            table: the token table, which a codebook cannot be tied to.
            tokens_per_code: V / K; at 1 the head is the usual one.
            assign: gives every token its code.
            zero: whether the codebook starts at 0, which is the uniform distribution over codes.
            multiplier: of the logits.
        """
        super().__init__()
        if tokens_per_code < 1:
            raise ValueError(
                "model.head.tokens_per_code must be at least 1, which gives every token a code "
                f"of its own; got {tokens_per_code}, which is more codes than tokens"
            )
        n_codes = max(1, round(vocab_size / tokens_per_code))
        # Without memory there is nothing to look the codes up in, and nobody reads them.
        codes_V = torch.arange(vocab_size) % n_codes if table.is_meta else assign(
            vocab_size, n_codes)  # fmt: skip
        self.weight = nn.Parameter(torch.empty(n_codes, width))
        self.register_buffer("codes_V", codes_V)
        sizes_K = torch.zeros(n_codes, dtype=codes_V.dtype, device=codes_V.device)
        self.register_buffer("sizes_K", sizes_K.index_add_(0, codes_V, torch.ones_like(codes_V)))
        self.zero, self.multiplier = zero, multiplier

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        return self.code_logits(hidden_BTD)[..., self.codes_V]

    def code_logits(self, hidden_BTD: Tensor) -> Tensor:
        """What every token of a code gets [B, T, K]."""
        return F.linear(hidden_BTD * (self.multiplier * self.scale), self.weight)

    def roles(self, base: VQHead) -> dict[str, Place]:
        (n_codes, width), base_width = self.weight.shape, base.weight.shape[1]
        start = "zeros" if self.zero else "normal"
        return {"weight": Place(Role.OUTPUT, width, n_codes, Base(base_width, n_codes), start)}
