"""Softmax attention with one key and value head per group of query heads.

`queries_per_key = 1` is multi-head attention (Vaswani et al. 2017, arXiv 1706.03762), more is
grouped-query (Ainslie et al. 2023, arXiv 2305.13245), and None, one key head for all the query
heads, multi-query (Shazeer 2019, arXiv 1911.02150). Scores are q.k * multiplier * scale / sqrt(K),
where `scale` comes from the parametrisation.

Axes: B batch, H query heads, G key heads, T time, K head size, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role
from windtunnel.model.attention.context import Context
from windtunnel.model.linear import Linear, prefix

# On a CPU, up to this many tokens, plain matrix products that the compiler fuses the softmax into
# beat torch's blocked kernel, which is made for long windows (`make bench`).
SHORT = 256


def attend_by_kernel(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask_B1TT: Tensor | None, scale: float
) -> Tensor:
    """softmax(scale q k^T) v [B, H, T, K] by torch's fused kernels."""
    return F.scaled_dot_product_attention(
        q_BHTK,
        k_BGTK,
        v_BGTK,
        attn_mask=mask_B1TT,
        is_causal=mask_B1TT is None,
        scale=scale,
        enable_gqa=q_BHTK.shape[1] != k_BGTK.shape[1],
    )


def attend_by_products(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask_B1TT: Tensor | None, scale: float
) -> Tensor:
    """The same by two matrix products and a softmax, with all scores [B, H, T, T] in memory."""
    n_shared = q_BHTK.shape[1] // k_BGTK.shape[1]
    if n_shared > 1:
        k_BGTK, v_BGTK = (x.repeat_interleave(n_shared, dim=1) for x in (k_BGTK, v_BGTK))
    if mask_B1TT is None:
        length = q_BHTK.shape[-2]
        mask_B1TT = torch.ones(length, length, dtype=torch.bool, device=q_BHTK.device).tril()
    scores_BHTT = torch.matmul(q_BHTK * scale, k_BGTK.transpose(-1, -2))
    weights_BHTT = scores_BHTT.masked_fill(~mask_B1TT, float("-inf")).softmax(-1)
    return torch.matmul(weights_BHTT.to(v_BGTK.dtype), v_BGTK)


class SoftmaxAttention(nn.Module):
    """Reads values of earlier tokens, weighted by how well their keys match the query."""

    scale = 1.0

    def __init__(
        self,
        width: int,
        head_size: int,
        norm: Callable[[int], Any],
        *,
        queries_per_key: int | None,
        qk_norm: bool,
        zero_query: bool,
        multiplier: float,
    ) -> None:
        super().__init__()
        n_heads = width // head_size
        if width % head_size:
            raise ValueError(
                f"model.width must be a multiple of model.head_size, got width {width} and head "
                f"size {head_size}: try width {max(1, n_heads) * head_size} or another head size"
            )
        n_keys = 1 if queries_per_key is None else n_heads // queries_per_key
        if queries_per_key is not None and n_heads % queries_per_key:
            raise ValueError(
                f"model.attention.queries_per_key must divide the number of heads, got "
                f"{queries_per_key} and {n_heads} heads (width {width} / head size {head_size})"
            )
        self.n_heads, self.n_keys, self.head_size = n_heads, n_keys, head_size
        self.query = Linear(width, width)
        self.key = Linear(width, n_keys * head_size)
        self.value = Linear(width, n_keys * head_size)
        self.output = Linear(width, width)
        self.query_norm: Any = norm(head_size) if qk_norm else None
        self.key_norm: Any = norm(head_size) if qk_norm else None
        self.zero_query = zero_query
        self.multiplier = multiplier

    def forward(self, x_BTD: Tensor, context: Context) -> Tensor:
        q_BHTK, k_BGTK = self.queries_and_keys(x_BTD, context)
        v_BGTK = self._heads(self.value(x_BTD))
        short = q_BHTK.device.type == "cpu" and q_BHTK.shape[-2] <= SHORT
        attend = attend_by_products if short else attend_by_kernel
        read_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, context.mask_B1TT, self.score_scale)
        return self.output(read_BHTK.transpose(1, 2).flatten(-2))

    def queries_and_keys(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Queries [B, H, T, K] and keys [B, G, T, K], of which the scores are products."""
        q_BHTK, k_BGTK = (self._heads(project(x_BTD)) for project in (self.query, self.key))
        if self.query_norm is not None and self.key_norm is not None:
            q_BHTK, k_BGTK = self.query_norm(q_BHTK), self.key_norm(k_BGTK)
        return context.rotate(q_BHTK), context.rotate(k_BGTK)

    @property
    def score_scale(self) -> float:
        """What a product of query and key is multiplied with."""
        return self.multiplier * self.scale * self.head_size**-0.5

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (-1, self.head_size)).transpose(1, 2)

    def roles(self, base: SoftmaxAttention) -> dict[str, Place]:
        sizes = Base(base.head_size, base.head_size)
        start = "zeros" if self.zero_query else "normal"
        heads, keys = (self.n_heads, base.n_heads), (self.n_keys, base.n_keys)
        places = {
            "query.weight": self.query.place(Role.QUERY, base.query, start, heads),
            "key.weight": self.key.place(Role.HIDDEN, base.key, heads=keys),
            "value.weight": self.value.place(Role.HIDDEN, base.value, heads=keys),
            "output.weight": self.output.place(Role.WRITER, base.output),
            "scores": Place(Role.SCORE, self.head_size, self.head_size, sizes),
        }
        if self.query_norm is not None and self.key_norm is not None:
            places |= prefix("query_norm", self.query_norm.roles(base.query_norm))
            places |= prefix("key_norm", self.key_norm.roles(base.key_norm))
        return places
