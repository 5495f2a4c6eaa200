"""Cross-entropy of a head whose tokens share codes, without the logits of all tokens.

    nll_t = logsumexp_k (l_tk + log n_k) - l_t,M(y) ,    M(y): code of the target

with n_k tokens of code k: the cross-entropy over K codes with bias log n_k, plus log n_M(y). The
latter is a floor that no training lowers; its mean is the term `floor`. Equal to `CrossEntropy`
over all tokens, see `model.head.vq`.

Axes: B batch, T time, K codes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput


class CodeCrossEntropy:
    """Mean negative log-likelihood in nats per token, in float32."""

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        coded: Any = head
        if not hasattr(coded, "code_logits"):
            raise ValueError(
                "loss=code_cross_entropy needs a head whose tokens share codes (model/head=vq), "
                f"got {type(head).__name__}: take loss=cross_entropy, which works with every head"
            )
        targets_BT, log_sizes_K = batch.targets_BT, coded.sizes_K.log()
        scored_BT = targets_BT != IGNORE_INDEX
        codes_BT = coded.codes_V[targets_BT.clamp(min=0)]
        nll_BT = F.cross_entropy(
            (coded.code_logits(hidden_BTD).float() + log_sizes_K).flatten(0, 1),
            torch.where(scored_BT, codes_BT, IGNORE_INDEX).flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="none",
        ).view_as(targets_BT)
        floor_BT = log_sizes_K[codes_BT] * scored_BT
        nll_BT = nll_BT + floor_BT
        n_scored = scored_BT.sum().clamp(min=1)
        return LossOutput(nll_BT.sum() / n_scored, nll_BT, {"floor": floor_BT.sum() / n_scored})
