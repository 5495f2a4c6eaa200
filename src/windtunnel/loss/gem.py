"""GEM: raises the target only as far as needed to overtake, so that the distribution stays diverse.

q = softmax(z / beta), held without gradient; y: the target;

    linear        L = sum_j q_j (log p_j - log p_y) = sum_j q_j (z_j - z_y)
    log-sigmoid   L = sum_j q_j w_j (z_j - z_y),   w_j = sigmoid(scale (z_j - z_y)), held too

The gradient of the linear form on the logits is q - 1[j = y]: at beta 1 that of cross-entropy, and
for small beta none once the target is the likeliest. Its value is no likelihood and may be below 0.

Source: Li et al. 2024, arXiv 2408.16673.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import at_target, mean_scored, plain_nll


def lead(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """By how much every logit exceeds that of the target, z_j - z_y [B, T, V]."""
    return logits_BTV - at_target(logits_BTV, targets_BT).unsqueeze(-1)


def linear_gem(logits_BTV: Tensor, targets_BT: Tensor, beta: float) -> Tensor:
    """The linear form, by token [B, T]."""
    q_BTV = (logits_BTV.detach() / beta).softmax(-1)
    return (q_BTV * lead(logits_BTV, targets_BT)).sum(-1)


def log_sigmoid_gem(logits_BTV: Tensor, targets_BT: Tensor, beta: float, scale: float) -> Tensor:
    """The log-sigmoid form, by token [B, T]."""
    lead_BTV = lead(logits_BTV, targets_BT)
    q_BTV = (logits_BTV.detach() / beta).softmax(-1)
    w_BTV = torch.sigmoid(scale * lead_BTV.detach())
    return (q_BTV * w_BTV * lead_BTV).sum(-1)


class LinearGem:
    """Mean of the linear form; `beta` 1 has the gradient of cross-entropy."""

    def __init__(self, *, beta: float) -> None:
        self.beta = checked(beta)

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        loss = mean_scored(linear_gem(logits_BTV, targets_BT, self.beta), targets_BT)
        return LossOutput(loss, plain_nll(logits_BTV.detach(), targets_BT), {})


class LogSigmoidGem:
    """Mean of the log-sigmoid form; `scale` is how sharply it tells logits ahead from behind."""

    def __init__(self, *, beta: float, scale: float) -> None:
        self.beta, self.scale = checked(beta), scale

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        each_BT = log_sigmoid_gem(logits_BTV, targets_BT, self.beta, self.scale)
        nll_BT = plain_nll(logits_BTV.detach(), targets_BT)
        return LossOutput(mean_scored(each_BT, targets_BT), nll_BT, {})


def checked(beta: float) -> float:
    """`beta`, refused outside of 0 .. 1."""
    if not 0 < beta <= 1:
        raise ValueError(
            f"loss.beta must lie above 0 and at most at 1, got {beta}: 0.7 is usual, and 1 has "
            "the gradient of cross-entropy"
        )
    return beta
