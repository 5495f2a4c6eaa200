"""z-loss: keeps the normaliser of the softmax near 1, so that logits do not drift.

mean_t logsumexp_v(logits_tv)^2, over scored targets; added to a main loss with a weight of 1e-4 or
so (`loss=cross_entropy_z`). A head with a softcap is meant after the cap.

Source: Chowdhery et al. 2022, arXiv 2204.02311, section 5.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll


def z_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean squared log-normaliser over scored tokens [], in nats squared."""
    return mean_scored(logits_BTV.logsumexp(-1).square(), targets_BT)


class ZLoss:
    """The mean squared log-normaliser; an auxiliary, since alone it learns no target."""

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV = head(hidden_BTD).float()
        nll_BT = plain_nll(logits_BTV.detach(), batch.targets_BT)
        return LossOutput(z_loss(logits_BTV, batch.targets_BT), nll_BT, {})
