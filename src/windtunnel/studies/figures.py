"""Figures of a run besides its loss: what callbacks measured, and how steady its gradients were.

    grad_norm_spread    standard deviation of ln |g| over the second half of training,

with |g| the norm of the gradient before it is clipped: free of the size of the loss, so that losses
of other units compare. Other names are dotted paths into the record's measurements, such as
`calibration.ece`.

Source: ours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.interfaces import Curve, Record
from windtunnel.studies.noise import pooled_sd

GRAD_NORM_SPREAD = "grad_norm_spread"

Means = dict[str, float | None]


def figure_of(record: Record, name: str) -> float | None:
    """A figure by its name, or None where the run left none."""
    if name == GRAD_NORM_SPREAD:
        return spread(record.grad_norm_curve)
    value: Any = record.measurements
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def spread(curve: Curve) -> float | None:
    """Standard deviation of the logarithm over the second half; None under two positive values."""
    half = curve.tokens[-1] / 2 if curve.tokens else 0
    later = [v for at, v in zip(curve.tokens, curve.values, strict=True) if at > half and v > 0]
    return statistics.stdev(map(math.log, later)) if len(later) > 1 else None


def means(records: Sequence[Record], names: Sequence[str]) -> dict[str, Means | None]:
    """Mean and standard deviation of each figure over runs; None where a run left none."""
    found: dict[str, Means | None] = {}
    for name in names:
        values = [figure_of(record, name) for record in records]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            found[name] = None
            continue
        found[name] = {"mean": math.fsum(known) / len(known), "sd": pooled_sd([known])}
    return found
