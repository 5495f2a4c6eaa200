"""The comp-sum family: one parameter from the sum-exponential loss over cross-entropy to 1 - p.

l_tau = (p^(tau - 1) - 1) / (1 - tau), and -log p at tau = 1, with p the probability of the target.
tau 0: 1/p - 1; 1: cross-entropy; 1 < tau < 2: generalised cross-entropy; 2: 1 - p. Its gradient is
p^(tau - 1) times that of cross-entropy. The smooth adversarial form adds `loss.adversarial`.

Source: Mao, Mohri and Zhong 2023, arXiv 2304.07288. Deviation: for tau < 1 a target of
p < e^(-60 / (1 - tau)), whose loss would overflow, goes on along the tangent, so that it still
pulls.

Axes: B batch, T time, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll

NEAR_ONE = 1e-6  # of tau: nearer than this it is cross-entropy
LARGEST_EXPONENT = 60.0  # e^60 times any number of tokens is still finite in float32


def comp_sum(nll: Tensor, tau: float) -> Tensor:
    """l_tau of targets with the negative log-likelihoods `nll`, any shape."""
    k = 1 - tau
    if abs(k) < NEAR_ONE:
        return nll
    if k < 0:
        return torch.expm1(k * nll) / k
    edge = LARGEST_EXPONENT / k
    inside = nll.clamp(max=edge)
    return torch.expm1(k * inside) / k + math.exp(LARGEST_EXPONENT) * (nll - edge).clamp(min=0)


class CompSum:
    """Mean comp-sum loss; `tau` 1 is cross-entropy."""

    def __init__(self, *, tau: float) -> None:
        if not 0 <= tau <= 2:
            raise ValueError(
                f"loss.tau must lie in 0 .. 2, got {tau}: 1 is cross-entropy, 1.7 the usual "
                "generalised one"
            )
        self.tau = tau

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        nll_BT = plain_nll(head(hidden_BTD).float(), batch.targets_BT)
        return LossOutput(mean_scored(comp_sum(nll_BT, self.tau), batch.targets_BT), nll_BT, {})
