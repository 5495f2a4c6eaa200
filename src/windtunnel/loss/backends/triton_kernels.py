"""Triton kernels of cut cross-entropy: a tile of logits at a time, never written down.

`score` gives, over a stretch of the vocabulary, each token's log-sum, sum of logits and target's
logit. `pull` computes a tile again, turns it into the gradient by its logits, and adds its products
to the gradients; a tile whose entries |p - 1[target]| all lie below `threshold` is left out of
those gradients that are filtered.

Source: Wijmans et al. 2024, arXiv 2411.09009, algorithms 2 and 3.

Axes: n tokens, v vocabulary, d width; a pointer's name ends in the axes of what it points to.
"""

# Triton is an extra.
# pyright: reportMissingImports=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_of_logits(
    hidden_nd,
    weight_vd,
    bias_v,
    n,
    v,
    n_tokens,
    vocabulary,
    width,
    softcap,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_CAP: tl.constexpr,
):
    """Logits [n, v] in float32."""
    logits = tl.zeros((BLOCK_N, BLOCK_V), dtype=tl.float32)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        in_n = (n < n_tokens)[:, None] & (d < width)[None, :]
        in_v = (v < vocabulary)[:, None] & (d < width)[None, :]
        hidden = tl.load(hidden_nd + n[:, None] * width + d[None, :], mask=in_n, other=0.0)
        weight = tl.load(weight_vd + v[:, None] * width + d[None, :], mask=in_v, other=0.0)
        weight = weight.to(hidden.dtype)
        logits += tl.dot(hidden, tl.trans(weight), input_precision="ieee")
    if HAS_BIAS:
        logits += tl.load(bias_v + v, mask=v < vocabulary, other=0.0).to(tl.float32)[None, :]
    if HAS_CAP:
        logits = softcap * (1 - 2 / (tl.exp(2 * logits / softcap) + 1))
    return logits


@triton.jit
def score(
    hidden_nd,
    weight_vd,
    bias_v,
    target_n,
    lse_sn,
    sum_sn,
    logit_sn,
    sum_v,
    n_tokens,
    vocabulary,
    width,
    stretch,
    softcap,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_CAP: tl.constexpr,
    SUMS_V: tl.constexpr,
):
    """One block of tokens against one stretch s of the vocabulary."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    s = tl.program_id(1).to(tl.int64)
    in_n = n < n_tokens
    target = tl.load(target_n + n, mask=in_n, other=-1)
    most = tl.full((BLOCK_N,), -1e30, dtype=tl.float32)
    total = tl.zeros((BLOCK_N,), dtype=tl.float32)
    logit_sum = tl.zeros((BLOCK_N,), dtype=tl.float32)
    logit = tl.zeros((BLOCK_N,), dtype=tl.float32)
    for start in range(0, stretch, BLOCK_V):
        v = s * stretch + start + tl.arange(0, BLOCK_V)
        in_v = (v < vocabulary) & (start + tl.arange(0, BLOCK_V) < stretch)
        logits = tile_of_logits(
            hidden_nd, weight_vd, bias_v, n, v, n_tokens, vocabulary, width, softcap,
            BLOCK_N, BLOCK_V, BLOCK_D, HAS_BIAS, HAS_CAP,
        )  # fmt: skip
        inside = in_v[None, :] & in_n[:, None]
        logit_sum += tl.sum(tl.where(inside, logits, 0.0), 1)
        logit += tl.sum(tl.where(inside & (v[None, :] == target[:, None]), logits, 0.0), 1)
        if SUMS_V:
            tl.atomic_add(sum_v + v, tl.sum(tl.where(inside, logits, 0.0), 0), mask=in_v)
        logits = tl.where(in_v[None, :], logits, -1e30)
        above = tl.maximum(most, tl.max(logits, 1))
        total = total * tl.exp(most - above) + tl.sum(tl.exp(logits - above[:, None]), 1)
        most = above
    tl.store(lse_sn + s * n_tokens + n, most + tl.log(total), mask=in_n)
    tl.store(sum_sn + s * n_tokens + n, logit_sum, mask=in_n)
    tl.store(logit_sn + s * n_tokens + n, logit, mask=in_n)


@triton.jit
def pull(
    hidden_nd,
    weight_vd,
    bias_v,
    target_n,
    lse_n,
    token_weight_n,
    order_v,
    d_hidden_nd,
    d_weight_vd,
    d_bias_v,
    n_tokens,
    vocabulary,
    width,
    softcap,
    smoothing,
    z_loss,
    threshold,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_CAP: tl.constexpr,
    HAS_ORDER: tl.constexpr,
    FILTERS_HIDDEN: tl.constexpr,
    FILTERS_WEIGHT: tl.constexpr,
):
    """One tile's share of the gradients."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    v = tl.program_id(1).to(tl.int64) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_n, in_v = n < n_tokens, v < vocabulary
    if HAS_ORDER:
        v = tl.load(order_v + v, mask=in_v, other=vocabulary)
    target = tl.load(target_n + n, mask=in_n, other=-1)
    lse = tl.load(lse_n + n, mask=in_n, other=0.0)
    token_weight = tl.load(token_weight_n + n, mask=in_n, other=0.0)
    logits = tile_of_logits(
        hidden_nd, weight_vd, bias_v, n, v, n_tokens, vocabulary, width, softcap,
        BLOCK_N, BLOCK_V, BLOCK_D, HAS_BIAS, HAS_CAP,
    )  # fmt: skip
    is_target = v[None, :] == target[:, None]
    inside = in_v[None, :] & in_n[:, None]
    share = tl.where(inside, tl.exp(logits - lse[:, None]), 0.0)
    matters = tl.max(tl.abs(tl.where(is_target, share - 1, share))) >= threshold
    slope = share * (1 + 2 * z_loss * lse)[:, None] - smoothing / vocabulary
    slope = tl.where(is_target, slope - (1 - smoothing), slope) * token_weight[:, None]
    if HAS_CAP:
        slope *= 1 - (logits / softcap) * (logits / softcap)
    slope = tl.where(inside, slope, 0.0)
    if HAS_BIAS:
        tl.atomic_add(d_bias_v + v, tl.sum(slope, 0), mask=in_v)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        in_nd = in_n[:, None] & (d < width)[None, :]
        in_vd = in_v[:, None] & (d < width)[None, :]
        at_nd = n[:, None] * width + d[None, :]
        at_vd = v[:, None] * width + d[None, :]
        hidden = tl.load(hidden_nd + at_nd, mask=in_nd, other=0.0)
        narrow = slope.to(hidden.dtype)
        if matters or not FILTERS_HIDDEN:
            weight = tl.load(weight_vd + at_vd, mask=in_vd, other=0.0).to(hidden.dtype)
            added = tl.dot(narrow, weight, input_precision="ieee")
            tl.atomic_add(d_hidden_nd + at_nd, added.to(d_hidden_nd.dtype.element_ty), mask=in_nd)
        if matters or not FILTERS_WEIGHT:
            added = tl.dot(tl.trans(narrow), hidden, input_precision="ieee")
            tl.atomic_add(d_weight_vd + at_vd, added.to(d_weight_vd.dtype.element_ty), mask=in_vd)
