"""Orthogonal projection loss: hidden states before the same next token point one way, others apart.

With f the hidden states at length 1 and y their targets, over pairs i != j of sampled positions,

    s = mean of f_i . f_j where y_i = y_j      d = mean of |f_i . f_j| where not
    L = (1 - s) + gamma d

and a part without a pair is left out. Pairs are among `tokens` positions at even distances in the
batch, so that memory is tokens^2; where the batch has no more, all count.

Source: Ranasinghe et al. 2021, arXiv 2103.14021. Deviation: classes are next tokens, which need not
repeat, so that the first part is left out where the source's is 1.

Axes: B batch, T time, N sampled positions, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput
from windtunnel.loss.tokens import plain_nll


def orthogonal_projection(hidden_ND: Tensor, targets_N: Tensor, gamma: float) -> Tensor:
    """L over all pairs []; 0 where no pair is scored."""
    f_ND = F.normalize(hidden_ND, dim=-1)
    cosine_NN = f_ND @ f_ND.T
    scored_N = targets_N != IGNORE_INDEX
    itself_NN = torch.eye(len(targets_N), dtype=torch.bool, device=targets_N.device)
    pair_NN = scored_N[:, None] & scored_N & ~itself_NN
    same_NN = pair_NN & (targets_N[:, None] == targets_N)
    together = mean_where(1 - cosine_NN, same_NN)
    return together + gamma * mean_where(cosine_NN.abs(), pair_NN & ~same_NN)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values []; 0 where none is."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp(min=1)


def spread(n_all: int, n_sampled: int, device: torch.device) -> Tensor:
    """Positions at even distances, all of them where there are no more."""
    n = min(n_all, n_sampled)
    return torch.arange(n, device=device) * n_all // n


class OrthogonalProjection:
    """The loss over sampled positions; an auxiliary, since it does not reach the head.

    gamma: weight of the pairs of different tokens. tokens: positions that are sampled.
    """

    def __init__(self, *, gamma: float, tokens: int) -> None:
        if not gamma >= 0:
            raise ValueError(f"loss.gamma must not be below 0, got {gamma}: 0.5 is usual")
        if tokens < 2:
            raise ValueError(f"loss.tokens must be at least 2 to make a pair, got {tokens}")
        self.gamma, self.tokens = gamma, tokens

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        nll_BT = plain_nll(head(hidden_BTD).detach().float(), batch.targets_BT)
        at_N = spread(batch.targets_BT.numel(), self.tokens, hidden_BTD.device)
        hidden_ND = hidden_BTD.flatten(0, 1)[at_N].float()
        targets_N = batch.targets_BT.flatten()[at_N]
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            loss = orthogonal_projection(hidden_ND, targets_N, self.gamma)
        return LossOutput(loss, nll_BT, {})
