"""What the reports of studies that compare mixtures have in common: cells of their tables.

A difference is that of the chosen mixture less a rival (`studies.runs.difference`); it is shown the
other way round, as what the rival costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windtunnel.report.table import number


def cost(difference: Mapping[str, Any] | None) -> str:
    """What a rival costs beside the chosen mixture in nats, with its interval, for a sentence."""
    if difference is None:
        return "not tried"
    words = f"{-difference['mean']:+.3f}"
    if difference["low"] is None:
        return words
    return f"{words} [{-difference['high']:+.3f}, {-difference['low']:+.3f}]"


def cells(
    check: Mapping[str, Any], difference: Mapping[str, Any] | None, epochs: Mapping[str, float]
) -> tuple[str, str, str, str]:
    """Mean loss (deviation), what it costs, that one's interval, the domain read most often."""
    most = max(epochs, key=epochs.__getitem__)
    ends = ""
    if difference is not None and difference["low"] is not None:
        ends = f"{-difference['high']:+.4f} .. {-difference['low']:+.4f}"
    return (
        "-" if check["mean"] is None else f"{check['mean']:.4f} ({number(check['sd'], 4)})",
        "" if difference is None else f"{-difference['mean']:+.4f}",
        ends,
        f"{epochs[most]:.2f} of {most}",
    )
