"""Cross-entropy with a share of the target spread evenly over the vocabulary.

target distribution q_v = (1 - s) 1[v = y] + s / V;  loss = (1 - s) nll + s (lse - mean_v logit_v).
Its minimum is the entropy of q, above 0.

Source: Szegedy et al. 2016, arXiv 1512.00567, section 7, with torch's convention.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import at_target, mean_scored, plain_nll


class LabelSmoothing:
    """Mean smoothed cross-entropy in nats per token; `smoothing` is the share s."""

    def __init__(self, *, smoothing: float) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(
                f"loss.smoothing must lie in 0 .. 1, 1 excluded, got {smoothing}: 0.1 is usual"
            )
        self.smoothing = smoothing

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        nll_BT = plain_nll(logits_BTV, targets_BT)
        # lse - mean logit = nll + (target's logit - mean logit)
        above_mean_BT = at_target(logits_BTV, targets_BT) - logits_BTV.mean(-1)
        smoothed_BT = nll_BT + self.smoothing * above_mean_BT
        return LossOutput(mean_scored(smoothed_BT, targets_BT), nll_BT, {})
