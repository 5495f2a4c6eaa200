"""Cut cross-entropy on a GPU: two kernels of Triton, with the presets of the paper.

`cce` filters both gradients and sums them in their own type; `cce_kahan_full_c` and
`cce_kahan_full_e` sum in float32, and filter only that of the hidden states or of the weight;
`cce_exact` filters none. Where something is filtered the vocabulary is taken in the order of its
mean logit, so that what matters shares tiles. Filtered gradients leave rare tokens without a push,
so a pretraining run takes `cce_kahan_full_c` or `cce_exact`.

Source: Wijmans et al. 2024, arXiv 2411.09009, sections 4.3 and 5; the threshold and the float32
sums in place of Kahan's: apple/ml-cross-entropy.

Axes: N tokens, D width, V vocabulary, S stretches of the vocabulary.
"""

# Triton is an extra, and its kernels are launched by a grid in brackets.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends import triton_kernels
from windtunnel.loss.backends.cut_blocks import Work, check_targets, empty_work
from windtunnel.loss.backends.scored import Problem, Terms

N_STRETCHES = 16  # of the vocabulary that run side by side in the forward pass


@dataclass(frozen=True)
class Preset:
    """Which gradients are filtered, and whether they are summed in float32."""

    filters_hidden: bool
    filters_weight: bool
    is_wide: bool


PRESETS = {
    "cce": Preset(True, True, is_wide=False),
    "cce_kahan_full_c": Preset(True, False, is_wide=True),
    "cce_kahan_full_e": Preset(False, True, is_wide=True),
    "cce_exact": Preset(False, False, is_wide=True),
}


@dataclass(frozen=True)
class Blocks:
    """Sizes of a tile."""

    n: int
    v: int
    d: int


def cut_in_triton(
    problem: Problem,
    terms: Terms,
    preset: str,
    *,
    needs_gradient: bool,
    blocks: Blocks = Blocks(128, 128, 32),
) -> Work:
    """Values per token and, where wanted, the gradients of the loss.

    Raises:
        ValueError: gradients are to be filtered under label smoothing, which moves every logit.
    """
    chosen = PRESETS[preset]
    is_filtered = chosen.filters_hidden or chosen.filters_weight
    if is_filtered and terms.label_smoothing:
        raise ValueError(
            f"loss.preset={preset} leaves small gradients out, and loss.label_smoothing="
            f"{terms.label_smoothing} moves every logit a little: take loss.preset=cce_exact"
        )
    check_targets(problem.targets_N, len(problem.weight_VD))
    rows_N = (problem.targets_N != IGNORE_INDEX).nonzero()[:, 0]
    if len(rows_N) == 0:
        return empty_work(problem, needs_gradient=needs_gradient)
    work = empty_work(problem, needs_gradient=False)
    part = Problem(
        problem.hidden_ND[rows_N],
        problem.weight_VD.contiguous(),
        *problem[2:4],
        problem.targets_N[rows_N],
        problem.token_weights_N[rows_N],
    )
    nll_N, lse_N, mean_N, sum_V = values(part, blocks, sums_V=needs_gradient and is_filtered)
    work.nll_N[rows_N], work.lse_N[rows_N], work.mean_logit_N[rows_N] = nll_N, lse_N, mean_N
    if not needs_gradient:
        return work
    d_part_ND, d_weight_VD, d_bias_V = gradients(part, terms, chosen, blocks, lse_N, sum_V)
    d_hidden_ND = torch.zeros_like(problem.hidden_ND)
    d_hidden_ND[rows_N] = d_part_ND.to(d_hidden_ND.dtype)
    return work._replace(d_hidden_ND=d_hidden_ND, d_weight_VD=d_weight_VD, d_bias_V=d_bias_V)


def shared(part: Problem, blocks: Blocks) -> dict[str, Any]:
    """What both kernels are told."""
    return {
        "n_tokens": len(part.hidden_ND),
        "vocabulary": len(part.weight_VD),
        "width": part.hidden_ND.shape[1],
        "softcap": part.softcap or 0.0,
        "BLOCK_N": blocks.n,
        "BLOCK_V": blocks.v,
        "BLOCK_D": blocks.d,
        "HAS_BIAS": part.bias_V is not None,
        "HAS_CAP": part.softcap is not None,
    }


def values(part: Problem, blocks: Blocks, *, sums_V: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """nll, lse and mean logit [N]; sum of each entry's logits [V], where wanted."""
    hidden_ND, weight_VD, bias_V = part[:3]
    n_tokens, vocabulary = len(hidden_ND), len(weight_VD)
    parts_SN = hidden_ND.new_empty(3, N_STRETCHES, n_tokens, dtype=torch.float32)
    sum_V = hidden_ND.new_zeros(vocabulary if sums_V else 1, dtype=torch.float32)
    stretch = triton.cdiv(triton.cdiv(vocabulary, N_STRETCHES), blocks.v) * blocks.v
    triton_kernels.score[(triton.cdiv(n_tokens, blocks.n), N_STRETCHES)](
        hidden_ND,
        weight_VD,
        weight_VD if bias_V is None else bias_V,
        part.targets_N,
        *parts_SN,
        sum_V,
        stretch=stretch,
        SUMS_V=sums_V,
        **shared(part, blocks),
    )
    lse_N, sum_N, logit_N = parts_SN[0].logsumexp(0), parts_SN[1].sum(0), parts_SN[2].sum(0)
    return lse_N - logit_N, lse_N, sum_N / vocabulary, sum_V


def gradients(
    part: Problem,
    terms: Terms,
    chosen: Preset,
    blocks: Blocks,
    lse_N: Tensor,
    sum_V: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the loss by hidden, weight and bias."""
    hidden_ND, weight_VD, bias_V = part[:3]
    is_filtered = chosen.filters_hidden or chosen.filters_weight
    order_V = sum_V.argsort(descending=True) if is_filtered else part.targets_N
    sums = torch.float32 if chosen.is_wide else None
    d_hidden_ND = torch.zeros_like(hidden_ND, dtype=sums)
    d_weight_VD = torch.zeros_like(weight_VD, dtype=sums)
    d_bias_V = weight_VD.new_zeros(0 if bias_V is None else len(bias_V), dtype=torch.float32)
    tiles = (triton.cdiv(len(hidden_ND), blocks.n), triton.cdiv(len(weight_VD), blocks.v))
    triton_kernels.pull[tiles](
        hidden_ND,
        weight_VD,
        weight_VD if bias_V is None else bias_V,
        part.targets_N,
        lse_N,
        part.token_weights_N,
        order_V,
        d_hidden_ND,
        d_weight_VD,
        d_bias_V if len(d_bias_V) else lse_N,
        smoothing=terms.label_smoothing,
        z_loss=terms.z_loss,
        threshold=threshold(hidden_ND.dtype),
        HAS_ORDER=is_filtered,
        FILTERS_HIDDEN=chosen.filters_hidden,
        FILTERS_WEIGHT=chosen.filters_weight,
        **shared(part, blocks),
    )
    return d_hidden_ND, narrowed(d_weight_VD, weight_VD.dtype), d_bias_V


def threshold(dtype: torch.dtype) -> float:
    """Below which entries of p - 1[target] are left out."""
    return torch.finfo(dtype).eps / 32  # apple/ml-cross-entropy, filter_eps="auto"


def narrowed(wide_VD: Tensor, dtype: torch.dtype) -> Tensor:
    """A float32 matrix in 2 bytes per entry, in its own memory: each piece goes where it was read.

    Pieces double in size, so that one is written only over those already read.
    """
    if wide_VD.dtype == dtype or dtype == torch.float32:
        return wide_VD.to(dtype)
    narrow_V = wide_VD.flatten().view(dtype)[: wide_VD.numel()]
    flat_V, start, stop = wide_VD.flatten(), 0, 1
    while start < flat_V.numel():
        narrow_V[start:stop] = flat_V[start:stop].to(dtype) if start == 0 else flat_V[start:stop]
        start, stop = stop, min(2 * stop, flat_V.numel())
    return narrow_V.view_as(wide_VD)
