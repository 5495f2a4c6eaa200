"""Selective language modelling (Rho-1): trains on the tokens that a reference finds learnable.

    e_t = l_t - l_t of the reference          excess loss of token t
    L   = mean of l_t over the share k of the scored tokens with the largest e_t

with l_t the negative log-likelihood. A token that the reference foresees and the model does not has
still to be learned; one that neither foresees is noise. The selection has no gradient, ties go to
the earlier token, and k = 1 is cross-entropy. Tokens are chosen within a micro-batch of one device,
where the source chooses in the whole batch; each has the same number of them, so the mean over
micro-batches is that over all tokens kept.

Source: Lin et al. 2024, arXiv 2404.07965, section 2.2; k is 0.6 and 0.7 there.

Axes: B batch, T time, D width, N tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput
from windtunnel.loss.distillation import Teacher
from windtunnel.loss.tokens import mean_scored, plain_nll

ROUNDING = 1e-9  # of a number of tokens


def keep_top(excess_BT: Tensor, targets_BT: Tensor, share: float) -> Tensor:
    """Targets [B, T] of the share with the largest excess; the others are ignored."""
    is_scored_BT = targets_BT != IGNORE_INDEX
    n_kept = (share * is_scored_BT.sum().double() - ROUNDING).ceil()
    ranked_N = torch.where(is_scored_BT, excess_BT, -torch.inf).flatten()
    rank_N = ranked_N.argsort(descending=True, stable=True).argsort()
    is_kept_BT = (rank_N < n_kept).view_as(targets_BT) & is_scored_BT
    return torch.where(is_kept_BT, targets_BT, IGNORE_INDEX)


class Selective:
    """Cross-entropy on the share of the tokens with the largest excess loss over a teacher's."""

    def __init__(self, *, teacher: nn.Module, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(
                f"loss.share must lie in (0, 1], got {share}: 0.6 is usual, 1 keeps every token"
            )
        self.teacher, self.share = Teacher(teacher), share

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        nll_BT = plain_nll(logits_BTV, targets_BT)
        reference_BT = plain_nll(self.teacher(batch, logits_BTV), targets_BT)
        excess_BT = nll_BT.detach() - reference_BT
        kept_BT = keep_top(excess_BT, targets_BT, self.share)
        terms = {"excess": mean_scored(excess_BT, kept_BT)}
        return LossOutput(mean_scored(nll_BT, kept_BT), nll_BT, terms)
