"""Confidence-limiting loss: what `attempts` samples miss, so that more confidence is no gain.

With p the probability of the target,

    l_N = -log(1 - (1 - p)^N)        gradient = F * gradient of -log p
    F = N (1 - p)^(N - 1) p / (1 - (1 - p)^N)        1 as p -> 0, 0 as p -> 1, 1 for N = 1

Source: Chen et al. 2025 (direct coverage optimisation), arXiv 2502.07154.
Deviation: p is that of one token, as in the source's form by steps, and not of a sequence: that of
a text is so near 0 that F is 1 and the loss plain cross-entropy.

Axes: B batch, T time, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll

RARE_NATS = 40.0  # p < 5e-18: N p is all that counts, and p itself may underflow


def limit(nll: Tensor, attempts: int) -> Tensor:
    """F: what the gradient of -log p is multiplied with, any shape, without a gradient itself."""
    nll = nll.detach()
    p, miss = (-nll).exp(), -torch.expm1(-nll)
    covered = -torch.expm1(attempts * torch.log1p(-p))
    factor = attempts * miss ** (attempts - 1) * p / covered
    return torch.where(nll > RARE_NATS, 1, factor)


def miss_nats(nll: Tensor, attempts: int) -> Tensor:
    """l_N in nats, any shape; its gradient is `limit` times that of `nll`."""
    apart = nll.detach()
    covered = -torch.expm1(attempts * torch.log1p(-(-apart).exp()))
    value = torch.where(apart > RARE_NATS, apart - math.log(attempts), -covered.log())
    return value + limit(nll, attempts) * (nll - apart)


class ConfidenceLimiting:
    """Mean of l_N over tokens; `attempts` is N, and 1 is cross-entropy."""

    def __init__(self, *, attempts: int) -> None:
        if not isinstance(attempts, int) or attempts < 1:
            raise ValueError(
                f"loss.attempts must be a whole number of at least 1, got {attempts}: it is how "
                "many samples may try"
            )
        self.attempts = attempts

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        nll_BT = plain_nll(head(hidden_BTD).float(), batch.targets_BT)
        loss = mean_scored(miss_nats(nll_BT, self.attempts), batch.targets_BT)
        return LossOutput(loss, nll_BT, {})
