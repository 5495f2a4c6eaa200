"""What an order of the data gains under a schedule, and what decay takes of it.

    gain(o, s)        = L(control, s) - L(o, s)          of an order o under a schedule s
    interaction(o, s) = gain(o, constant) - gain(o, s)   what the decay of s takes of it

with L the held-out loss, seed by seed. Above 0, decay wastes what the order gains.
Source: the interaction of two factors (textbook).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windtunnel.studies.runs import difference

Losses = Mapping[tuple[str, str, str], Mapping[int, float]]  # order, schedule, average; by seed


def gains(losses: Losses, control: str, level: float) -> list[dict[str, Any]]:
    """Of every order but the control, under every schedule, with either weights."""
    return [
        _line(cell, difference(losses[control, *cell[1:]], own, level))
        for cell, own in losses.items()
        if cell[0] != control
    ]


def interactions(losses: Losses, control: str, constant: str, level: float) -> list[dict[str, Any]]:
    """What every schedule but the constant one takes of the gains."""

    def gain(order: str, schedule: str, average: str) -> dict[int, float]:
        own = losses[order, schedule, average]
        other = losses[control, schedule, average]
        return {seed: other[seed] - own[seed] for seed in own.keys() & other.keys()}

    return [
        _line(cell, difference(gain(cell[0], constant, cell[2]), gain(*cell), level))
        for cell in losses
        if cell[0] != control and cell[1] != constant
    ]


def _line(cell: tuple[str, str, str], found: dict[str, Any] | None) -> dict[str, Any]:
    order, schedule, average = cell
    return {"order": order, "schedule": schedule, "average": average, "difference": found}
