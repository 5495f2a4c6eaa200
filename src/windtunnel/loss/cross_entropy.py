"""Cross-entropy over the whole vocabulary, with all its logits at once: the reference.

nll_t = logsumexp_v(logits_tv) - logits_t,target; the loss is its mean over targets that count.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput


class CrossEntropy:
    """Mean negative log-likelihood in nats per token, in float32."""

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        targets_BT = batch.targets_BT
        logits_BTV = head(hidden_BTD).float()
        nll_BT = F.cross_entropy(
            logits_BTV.flatten(0, 1),
            targets_BT.flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="none",
        ).view_as(targets_BT)
        n_scored = (targets_BT != IGNORE_INDEX).sum().clamp(min=1)
        return LossOutput(nll_BT.sum() / n_scored, nll_BT, {})
