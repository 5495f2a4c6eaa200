"""Self-adjusting dice: an overlap of predicted and true tokens, in which easy ones count less.

Each token of the vocabulary against the rest: p its softmax probability, y 1 for the target and
else 0, w = (1 - p)^alpha p,

    D = 1 - (2 w y + gamma) / (w + y + gamma)

by token, summed over the vocabulary (`TokenDice`); or with w y, w and y each summed over the scored
tokens of the batch first, and then the mean over the vocabulary (`SetDice`). The two differ: a set
balances false and missed predictions of a word over the batch. For alpha near 1 D is not monotone:
at alpha = gamma = 1 a target of p = 1 costs 1/2 and one of p = 1/2 costs 1/3, so that a language
model wants a small alpha.

Source: Li et al. 2020, arXiv 1911.02855.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll


def overlap_lost(w_y: Tensor, w: Tensor, y: Tensor, gamma: float) -> Tensor:
    """D, any shape."""
    return 1 - (2 * w_y + gamma) / (w + y + gamma)


def adjusted(p: Tensor, alpha: float) -> Tensor:
    """w, any shape."""
    # Where p = 1 the power has no finite slope for alpha < 1; the clamp passes none on.
    return (1 - p).clamp(min=torch.finfo(p.dtype).tiny) ** alpha * p


def true(targets_BT: Tensor, n_tokens: int) -> Tensor:
    """y, 0 everywhere for an ignored token [B, T, V]."""
    return targets_BT.unsqueeze(-1) == torch.arange(n_tokens, device=targets_BT.device)


def token_dice(logits_BTV: Tensor, targets_BT: Tensor, alpha: float, gamma: float) -> Tensor:
    """Dice by token, summed over the vocabulary [B, T]."""
    w_BTV = adjusted(logits_BTV.softmax(-1), alpha)
    y_BTV = true(targets_BT, logits_BTV.shape[-1])
    return overlap_lost(w_BTV * y_BTV, w_BTV, y_BTV, gamma).sum(-1)


def set_dice(logits_BTV: Tensor, targets_BT: Tensor, alpha: float, gamma: float) -> Tensor:
    """Dice of the batch's scored tokens as one set, mean over the vocabulary []."""
    is_scored_BT1 = (targets_BT != IGNORE_INDEX).unsqueeze(-1)
    w_BTV = torch.where(is_scored_BT1, adjusted(logits_BTV.softmax(-1), alpha), 0)
    y_BTV = true(targets_BT, logits_BTV.shape[-1])
    w_y_V, w_V, y_V = (values.sum((0, 1)) for values in (w_BTV * y_BTV, w_BTV, y_BTV))
    return overlap_lost(w_y_V, w_V, y_V, gamma).mean()


class TokenDice:
    """Mean over tokens of the dice of each; `alpha` 0 does not adjust, `gamma` smooths."""

    def __init__(self, *, alpha: float, gamma: float) -> None:
        self.alpha, self.gamma = checked(alpha, gamma)

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        each_BT = token_dice(logits_BTV, targets_BT, self.alpha, self.gamma)
        nll_BT = plain_nll(logits_BTV.detach(), targets_BT)
        return LossOutput(mean_scored(each_BT, targets_BT), nll_BT, {})


class SetDice:
    """Dice of the batch as one set; `alpha` 0 does not adjust, `gamma` smooths."""

    def __init__(self, *, alpha: float, gamma: float) -> None:
        self.alpha, self.gamma = checked(alpha, gamma)

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        loss = set_dice(logits_BTV, targets_BT, self.alpha, self.gamma)
        return LossOutput(loss, plain_nll(logits_BTV.detach(), targets_BT), {})


def checked(alpha: float, gamma: float) -> tuple[float, float]:
    """The two settings, refused where dice is not defined."""
    if not alpha >= 0:
        raise ValueError(f"loss.alpha must not be below 0, got {alpha}: 0.01 is usual")
    if not gamma > 0:
        raise ValueError(f"loss.gamma must be above 0, got {gamma}: 1 is usual")
    return alpha, gamma
