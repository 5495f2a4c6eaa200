"""What losses share: the plain score of every token, and the mean over those that are scored.

Axes: B batch, T time, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX


def plain_nll(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Negative log-likelihood in nats per token [B, T], 0 where ignored."""
    return F.cross_entropy(
        logits_BTV.flatten(0, 1),
        targets_BT.flatten(),
        ignore_index=IGNORE_INDEX,
        reduction="none",
    ).view_as(targets_BT)


def mean_scored(values_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean over scored tokens []; 0 where there is none. An ignored value must still be finite."""
    is_scored_BT = targets_BT != IGNORE_INDEX
    total = torch.where(is_scored_BT, values_BT, 0).sum()
    return total / is_scored_BT.sum().clamp(min=1)


def at_target(values_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The entry of every token's target [B, T]; of an ignored one, that of id 0."""
    return values_BTV.gather(-1, targets_BT.clamp(min=0).unsqueeze(-1)).squeeze(-1)
