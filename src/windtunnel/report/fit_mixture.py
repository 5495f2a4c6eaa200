"""A regressor of losses on mixtures as tables: how well it orders others, and its best mixture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from windtunnel.report.table import number, table, warnings

SHOWN = 0.0005  # the smallest weight that is listed


def tables(found: Mapping[str, Any]) -> list[RenderableType]:
    """How well the mixtures held out are predicted, and what the best one is made of."""
    level = f"{100 * found['level']:.0f} %"
    judged = (
        f"{found['regressor']}",
        str(found["n_fit"]),
        str(found["n_test"]),
        number(found["spearman"], 4),
        f"{number(found['spearman_low'], 4)} .. {number(found['spearman_high'], 4)}",
        f"{found['mse']:.3g}",
        f"{found['variance']:.3g}",
    )
    columns = ("regressor", "fitted", "test rows", "Spearman", level, "squared error", "variance")
    shown = sorted(found["best_mixture"].items(), key=lambda item: -item[1])
    rows = [
        (name, number(weight, 3), number(found["mean"][name], 3), number(found["bound"][name], 3))
        for name, weight in shown
        if weight >= SHOWN
    ]
    columns_best = ("domain", "weight", "mean of the fitted", "bound")
    predicted = f"predicted {number(found['best_predicted'], 4)} nats"
    return [
        table(f"{found['target']} by the mixture", columns, [judged]),
        table(f"The best mixture, {predicted}", columns_best, rows),
        warnings(found["warnings"]),
        Text(headline(found), style="bold"),
    ]


def headline(found: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    if found["spearman"] is None:
        return f"{found['regressor']} cannot tell the mixtures apart"
    largest = max(found["best_mixture"], key=found["best_mixture"].__getitem__)
    return (
        f"{found['regressor']} orders {found['n_test']} other mixtures with a rank correlation of "
        f"{found['spearman']:.3f}; its best one is {100 * found['best_mixture'][largest]:.0f} % "
        f"{largest}"
    )
