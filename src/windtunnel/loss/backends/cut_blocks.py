"""Cut cross-entropy in plain torch operations: values and gradients, block by block.

A block is some tokens and all of the vocabulary, in tiles: the first pass over the tiles gives the
log-sum, the second the gradients. Where the vocabulary fits into one tile its logits are kept for
the second pass; otherwise they are computed again, which costs 8 N D V operations for 6.

Source: Wijmans et al. 2024, arXiv 2411.09009, sections 4.2 and 4.3; gradients in the forward pass:
Hsu et al. 2024, arXiv 2410.10989.

Axes: N tokens, n tokens of a block, D width, V vocabulary, v vocabulary of a tile.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.scored import Problem, Terms

LARGEST_TILE = 8192  # vocabularies up to this size are one tile
TILE = 512
BLOCK_ENTRIES = 2**21  # logits of a tile; 8 MiB in float32, which a last-level cache holds


class Work(NamedTuple):
    """nll, lse and mean logit [N] in float32 (float64 for float64), 0 where ignored; the gradients
    of the loss, empty unless wanted."""

    nll_N: Tensor
    lse_N: Tensor
    mean_logit_N: Tensor
    d_hidden_ND: Tensor
    d_weight_VD: Tensor
    d_bias_V: Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """What sums are taken in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def empty_work(problem: Problem, *, needs_gradient: bool) -> Work:
    """Zeros of the shapes and types of the results."""
    hidden_ND, weight_VD, bias_V = problem[:3]
    sums = wide(hidden_ND.dtype)
    nll_N, lse_N, mean_logit_N = (
        hidden_ND.new_zeros(hidden_ND.shape[0], dtype=sums) for _ in range(3)
    )
    has_bias = needs_gradient and bias_V is not None
    return Work(
        nll_N,
        lse_N,
        mean_logit_N,
        hidden_ND.new_zeros(hidden_ND.shape if needs_gradient else (0,)),
        weight_VD.new_zeros(weight_VD.shape if needs_gradient else (0,)),
        hidden_ND.new_zeros(weight_VD.shape[0] if has_bias else 0, dtype=sums),
    )


def check_targets(targets_N: Tensor, vocabulary: int) -> None:
    """Refuses targets that the head does not know.

    Raises:
        ValueError: a target lies outside of the vocabulary.
    """
    is_outside_N = (targets_N != IGNORE_INDEX) & ((targets_N < 0) | (targets_N >= vocabulary))
    if is_outside_N.any():
        n = int(is_outside_N.nonzero()[0])
        raise ValueError(
            f"targets must lie in 0 .. {vocabulary - 1}, the head's vocabulary, or be "
            f"{IGNORE_INDEX} to be ignored; got {int(targets_N[n])} at token {n}: use the "
            "tokenizer that the head was made for"
        )


def cut_in_blocks(problem: Problem, terms: Terms, *, needs_gradient: bool) -> Work:
    """Values per token and, where wanted, the gradients of the loss."""
    hidden_ND, weight_VD, bias_V, softcap, targets_N, token_weights_N = problem
    check_targets(targets_N, len(weight_VD))
    work = empty_work(problem, needs_gradient=needs_gradient)
    tile = len(weight_VD) if len(weight_VD) <= LARGEST_TILE else TILE
    blocks = (targets_N != IGNORE_INDEX).nonzero()[:, 0].split(max(1, BLOCK_ENTRIES // tile))
    d_weight_VD = work.d_weight_VD
    if len(blocks) > 1:  # sums over blocks need the wider type
        d_weight_VD = d_weight_VD.to(wide(d_weight_VD.dtype))
    for rows_n in blocks:
        if len(rows_n) == 0:
            continue
        part = Problem(
            hidden_ND[rows_n],
            weight_VD,
            bias_V,
            softcap,
            targets_N[rows_n],
            token_weights_N[rows_n].to(work.nll_N.dtype),
        )
        tiles = [slice(v, min(v + tile, len(weight_VD))) for v in range(0, len(weight_VD), tile)]
        nll_n, lse_n, mean_n, kept = values(part, tiles)
        work.nll_N[rows_n], work.lse_N[rows_n], work.mean_logit_N[rows_n] = nll_n, lse_n, mean_n
        if needs_gradient:
            d_hidden_nD = gradients(part, terms, tiles, lse_n, kept, d_weight_VD, work.d_bias_V)
            work.d_hidden_ND[rows_n] = d_hidden_nD.to(hidden_ND.dtype)
    return work._replace(d_weight_VD=d_weight_VD.to(weight_VD.dtype))


def logits_of(part: Problem, tile: slice) -> Tensor:
    """Logits [n, v] of one tile, before the cap."""
    logits_nv = F.linear(part.hidden_ND, part.weight_VD[tile].to(part.hidden_ND.dtype))
    logits_nv = logits_nv.to(wide(logits_nv.dtype))
    return logits_nv if part.bias_V is None else logits_nv.add_(part.bias_V[tile])


def cap_(logits_nv: Tensor, softcap: float | None) -> Tensor:
    """The logits capped, in place."""
    return logits_nv if softcap is None else logits_nv.div_(softcap).tanh_().mul_(softcap)


def values(part: Problem, tiles: list[slice]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """nll, lse and mean logit [n]; and the logits where there is one tile."""
    lse_n = torch.full_like(part.token_weights_N, -torch.inf)
    logit_n, sum_n = torch.zeros_like(lse_n), torch.zeros_like(lse_n)
    logits_nv = None
    for tile in tiles:
        logits_nv = cap_(logits_of(part, tile), part.softcap)
        lse_n = torch.logaddexp(lse_n, logits_nv.logsumexp(1))
        sum_n += logits_nv.sum(1)
        hit_n, column_n = hits(part.targets_N, tile)
        logit_n[hit_n] = logits_nv[hit_n, column_n]
    kept = logits_nv if len(tiles) == 1 else None
    return lse_n - logit_n, lse_n, sum_n / len(part.weight_VD), kept


def hits(targets_n: Tensor, tile: slice) -> tuple[Tensor, Tensor]:
    """Which tokens have their target in the tile, and in which column."""
    hit_n = ((targets_n >= tile.start) & (targets_n < tile.stop)).nonzero()[:, 0]
    return hit_n, targets_n[hit_n] - tile.start


def gradients(
    part: Problem,
    terms: Terms,
    tiles: list[slice],
    lse_n: Tensor,
    kept: Tensor | None,
    d_weight_VD: Tensor,
    d_bias_V: Tensor,
) -> Tensor:
    """Adds the block's share to the gradients of weight and bias; returns that of hidden [n, D]."""
    weight_n, smoothing = part.token_weights_N, terms.label_smoothing
    scale_n1 = (weight_n * (1 + 2 * terms.z_loss * lse_n))[:, None]
    dtype = part.hidden_ND.dtype
    d_hidden_nD = torch.zeros_like(part.hidden_ND, dtype=wide(dtype))
    for tile in tiles:
        logits_nv = cap_(logits_of(part, tile), part.softcap) if kept is None else kept
        slope_nv = None
        if part.softcap is not None:
            slope_nv = 1 - (logits_nv / part.softcap).square_()
        d_logits_nv = logits_nv.sub_(lse_n[:, None]).exp_().mul_(scale_n1)
        if smoothing:
            d_logits_nv -= (smoothing / len(part.weight_VD) * weight_n)[:, None]
        hit_n, column_n = hits(part.targets_N, tile)
        d_logits_nv[hit_n, column_n] -= (1 - smoothing) * weight_n[hit_n]
        if slope_nv is not None:
            d_logits_nv *= slope_nv
        if part.bias_V is not None:
            d_bias_V[tile] += d_logits_nv.sum(0)
        d_logits_nv = d_logits_nv.to(dtype)
        d_hidden_nD += d_logits_nv @ part.weight_VD[tile].to(dtype)
        d_weight_VD[tile] += d_logits_nv.T @ part.hidden_ND
    return d_hidden_nD
