"""Whether a larger model's training would break, in words, before anyone pays for it."""

from __future__ import annotations

from collections.abc import Sequence

from windtunnel.interfaces import Record
from windtunnel.scaling.instability import Run, foresee, warnings


def instabilities(records: Sequence[Record], target_n: float, n_convention: str) -> list[str]:
    """A sentence for each quantity and rate that comes near where runs are lost.

    Nothing is said of runs that measured nothing: `callbacks=drift` lets them.

    Args:
        records: runs that ended well, all smaller than the target.
        target_n: parameters of the target, in `n_convention`.
        n_convention: how parameters are counted.
    """
    runs = [
        Run(
            float(record.parameters[n_convention]),
            float(record.config["optim"]["lr"]),
            record.measurements,
        )
        for record in records
        if record.measurements
    ]
    try:
        found = foresee(runs, target_n)
    except ValueError as error:  # a prediction is worth more than this look ahead
        return [f"nothing is said of the target's stability: {error}"]
    return [said for own in found for said in warnings(own.watched, own.outlooks, target_n)]
