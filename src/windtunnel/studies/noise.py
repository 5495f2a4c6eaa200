"""How much the seed alone moves a loss.

Pooled within-group standard deviation, s^2 = sum_g sum_i (l_gi - mean_g)^2 / sum_g (n_g - 1).
Source: the pooled variance of one-way analysis of variance (textbook).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def pooled_sd(groups: Iterable[Sequence[float]]) -> float | None:
    """Standard deviation in nats over seeds; None where no group holds two values."""
    squares, freedom = 0.0, 0
    for losses in groups:
        if len(losses) > 1:
            mean = math.fsum(losses) / len(losses)
            squares += math.fsum((loss - mean) ** 2 for loss in losses)
            freedom += len(losses) - 1
    return math.sqrt(squares / freedom) if freedom else None
