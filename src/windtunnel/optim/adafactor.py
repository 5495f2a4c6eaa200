"""Adafactor: Adam's second moment from the sums of its rows and columns, and no first moment.

U = g / sqrt(row mean x column mean of g^2 / their mean);
W <- (1 - lr decay) W - min(lr, 1 / sqrt(t)) max(least_size, RMS(W)) U / max(1, RMS(U) / clip).
Source: Shazeer and Stern 2018, arXiv 1804.04235, algorithm 4, as `torch.optim.Adafactor`.

The update is relative to the size of its parameter: update rule `relative` (see
`model.parametrization`). The cap 1 / sqrt(t) is torch's and knows no width, so the rule holds for
the first 1 / lr^2 steps. What starts at zero leaves it at `least_size`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def adafactor(
    groups: Sequence[dict[str, Any]], *, beta2_decay: float, least_size: float, clip: float
) -> torch.optim.Adafactor:
    """torch's Adafactor over the groups of `optim.groups`; a group's eps is that of |g|."""
    own = [{**group, "eps": (group["eps"], least_size)} for group in groups]
    return torch.optim.Adafactor(own, beta2_decay=beta2_decay, d=clip)
