"""Mann-Whitney loss: the logit of a target exceeds those of wrong tokens, its own and others'.

s+_i: logit of position i's target; S-: scores of wrong tokens, pooled over positions;

    L = mean over i and s- in S- of -log sigmoid((s+_i - s-) / temperature)

It bounds the area above the ROC curve: 1 - AUC <= L / log 2. Unlike cross-entropy it compares
across contexts, so it changes when the logits of one position are shifted, though not when all are.

What is pooled: positions are dealt into groups of `pool`; within a group the targets of all its
positions are scored at each of them, as documents of a batch are in the source, and so are the
`hard` highest wrong tokens of each position. All these but the true ones are the S- of the group.
Memory is that of pool (pool + hard) pairs per position, whatever the vocabulary.

Source: Sheikholeslami et al. 2025, arXiv 2510.00137, on cosines of retrieval at temperature 0.01.
Deviations: the sum over S- is a mean, and the scores are logits.

Axes: B batch, T time, D width, V vocabulary, G groups, P positions of a group, M pooled scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput
from windtunnel.loss.tokens import plain_nll


def mann_whitney(
    true_GP: Tensor, wrong_GM: Tensor, is_true_GP: Tensor, is_wrong_GM: Tensor, temperature: float
) -> Tensor:
    """Mean over the pairs of every group []; only scores that are marked make pairs."""
    behind_GPM = (wrong_GM.unsqueeze(1) - true_GP.unsqueeze(2)) / temperature
    is_pair_GPM = is_true_GP.unsqueeze(2) & is_wrong_GM.unsqueeze(1)
    total = torch.where(is_pair_GPM, F.softplus(behind_GPM), 0).sum()
    return total / is_pair_GPM.sum().clamp(min=1)


def pooled(
    logits_GPV: Tensor, targets_GP: Tensor, hard: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores of the targets [G, P], of the pool [G, M], and which of both count."""
    is_scored_GP = targets_GP != IGNORE_INDEX
    safe_GP = targets_GP.clamp(min=0)
    wanted_GPP = safe_GP.unsqueeze(1).expand(-1, safe_GP.shape[1], -1)
    scores_GPP = logits_GPV.gather(-1, wanted_GPP)
    is_wrong_GPP = is_scored_GP.unsqueeze(1) & (wanted_GPP != safe_GP.unsqueeze(2))
    others_GPV = logits_GPV.scatter(-1, safe_GP.unsqueeze(-1), -torch.inf)
    hardest_GPH = others_GPV.topk(hard, dim=-1).values
    wrong_GPM = torch.cat([scores_GPP, hardest_GPH], -1)
    counts_GPM = torch.cat([is_wrong_GPP, torch.ones_like(hardest_GPH, dtype=torch.bool)], -1)
    counts_GPM = counts_GPM & is_scored_GP.unsqueeze(-1)
    true_GP = scores_GPP.diagonal(dim1=1, dim2=2)
    return true_GP, wrong_GPM.flatten(1), is_scored_GP, counts_GPM.flatten(1)


class MannWhitney:
    """The loss over groups of `pool` positions, each with its `hard` highest wrong tokens."""

    def __init__(self, *, temperature: float, pool: int, hard: int) -> None:
        if not temperature > 0:
            raise ValueError(f"loss.temperature must be above 0, got {temperature}: 1 is usual")
        if pool < 1 or hard < 0 or pool + hard < 2:
            raise ValueError(
                "loss.pool must be at least 1, loss.hard at least 0, and one of them larger, to "
                f"have wrong tokens to pool; got {pool} and {hard}"
            )
        self.temperature, self.pool, self.hard = temperature, pool, hard

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        n_groups = -(-targets_BT.numel() // self.pool)
        spare = n_groups * self.pool - targets_BT.numel()
        logits_NV = F.pad(logits_BTV.flatten(0, 1), (0, 0, 0, spare))
        targets_N = F.pad(targets_BT.flatten(), (0, spare), value=IGNORE_INDEX)
        # Positions at even distances make a group, so that it holds several windows.
        logits_GPV = logits_NV.unflatten(0, (self.pool, n_groups)).transpose(0, 1)
        targets_GP = targets_N.view(self.pool, n_groups).T
        hard = min(self.hard, logits_NV.shape[1] - 1)
        loss = mann_whitney(*pooled(logits_GPV, targets_GP, hard), self.temperature)
        return LossOutput(loss, plain_nll(logits_BTV.detach(), targets_BT), {})
