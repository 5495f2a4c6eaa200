"""Focal loss: tokens that are predicted well already count less.

(1 - p)^gamma (-log p), with p the probability of the target; the factor has a gradient too.

Source: Lin et al. 2017, arXiv 1708.02002, equation 4.

Axes: B batch, T time, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll


def focal(nll: Tensor, gamma: float) -> Tensor:
    """Focal loss of tokens whose targets have the negative log-likelihoods `nll`, any shape."""
    # Where p = 1 the power has no finite slope for gamma < 1; the clamp passes none on.
    miss = (-torch.expm1(-nll)).clamp(min=torch.finfo(nll.dtype).tiny)
    return miss**gamma * nll


class Focal:
    """Mean focal loss; `gamma` 0 is cross-entropy."""

    def __init__(self, *, gamma: float) -> None:
        if not gamma >= 0:
            raise ValueError(f"loss.gamma must not be below 0, got {gamma}: 2 is usual")
        self.gamma = gamma

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        nll_BT = plain_nll(head(hidden_BTD).float(), batch.targets_BT)
        return LossOutput(mean_scored(focal(nll_BT, self.gamma), batch.targets_BT), nll_BT, {})
