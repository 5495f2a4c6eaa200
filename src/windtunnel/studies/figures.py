"""Figures of a run besides its loss: what callbacks measured, how steady its gradients were, and
how soon it was where another ended.

    grad_norm_spread       standard deviation of ln |g| over the second half of training
    tokens_to_reference    tokens to the final loss of the reference, as a share of its tokens

with |g| the norm of the gradient before it is clipped: free of the size of the loss, so that losses
of other units compare. The tokens are read off the held-out curve, along straight lines between its
points; a curve whose rate is still to decay is above what it would be had it ended there, so the
share is an upper bound. `seconds`, `tokens_per_second` and `peak_memory_bytes` are those of the
record, and other names are dotted paths into its measurements, such as `calibration.ece`.

Source: ours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.interfaces import Curve, Record
from windtunnel.studies.noise import pooled_sd

GRAD_NORM_SPREAD, TOKENS_TO_REFERENCE = "grad_norm_spread", "tokens_to_reference"
OF_RECORD = ("seconds", "tokens_per_second", "peak_memory_bytes")

Means = dict[str, float | None]


def figure_of(record: Record, name: str, reference: Record | None) -> float | None:
    """A figure by its name, or None where the run left none.

    Args:
        record: of the run.
        name: of the figure.
        reference: of the run that it is set beside, which saw the same tokens; None without one.
    """
    if name == GRAD_NORM_SPREAD:
        return spread(record.grad_norm_curve)
    if name == TOKENS_TO_REFERENCE:
        return None if reference is None else share_of_tokens(record, reference)
    if name in OF_RECORD:
        return float(getattr(record, name))
    value: Any = record.measurements
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def spread(curve: Curve) -> float | None:
    """Standard deviation of the logarithm over the second half; None under two positive values."""
    half = curve.tokens[-1] / 2 if curve.tokens else 0
    later = [v for at, v in zip(curve.tokens, curve.values, strict=True) if at > half and v > 0]
    return statistics.stdev(map(math.log, later)) if len(later) > 1 else None


def share_of_tokens(record: Record, reference: Record) -> float | None:
    """Tokens to the reference's final loss over its tokens; None where that was not reached."""
    if reference.evaluation is None:
        return None
    tokens = tokens_to(record.eval_curve, reference.evaluation.loss_nats)
    return None if tokens is None else tokens / reference.tokens


def tokens_to(curve: Curve, loss: float) -> float | None:
    """Tokens at which a curve first comes down to `loss` in nats; None where it never does.

    A curve that begins there gives its first point.
    """
    at, above = 0.0, math.inf
    for tokens, value in zip(curve.tokens, curve.values, strict=True):
        if value <= loss:
            way = 1.0 if math.isinf(above) else (above - loss) / (above - value)
            return at + way * (tokens - at)
        at, above = tokens, value
    return None


def means(
    records: Sequence[Record], names: Sequence[str], references: Sequence[Record]
) -> dict[str, Means | None]:
    """Mean and standard deviation of each figure over runs; None where a run left none.

    Args:
        records: of the runs.
        names: of the figures.
        references: of the runs that they are set beside, each with its seed.
    """
    beside = {reference.seed: reference for reference in references}
    found: dict[str, Means | None] = {}
    for name in names:
        values = [figure_of(record, name, beside.get(record.seed)) for record in records]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            found[name] = None
            continue
        found[name] = {"mean": math.fsum(known) / len(known), "sd": pooled_sd([known])}
    return found
