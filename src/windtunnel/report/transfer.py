"""Learning-rate transfer as tables and U-curves, one panel per parametrisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import checks, number, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def arm_name(result: Mapping[str, Any], arm: str) -> str:
    """What an arm is called in words."""
    return f"control: {result['control']}" if arm == "control" else "parametrisation under test"


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Best rate per width, for each arm, and the verdict."""
    columns = ("width", "log2 lr", "smooth", "loss", "moved", "excess", "in sd", "sensitivity")
    parts: list[RenderableType] = []
    for arm, values in sorted(result["arms"].items(), reverse=True):
        lines = [
            (
                str(width),
                f"{math.log2(curve['best_lr']):+.2f}" + (" edge" if curve["on_edge"] else ""),
                f"{curve['log2_lr']:+.2f}",
                number(curve["best_loss"], 4),
                _signed(curve.get("shift_steps")),
                number(curve.get("excess"), 4),
                number(curve.get("excess_sds"), 1),
                number(curve["sensitivity"], 3),
            )
            for width, curve in values["widths"].items()
        ]
        parts.append(table(arm_name(result, arm), columns, lines))
        parts.append(
            Text(
                f"best rate moves over {number(values['moved'], 2)} factors of 2; seed standard "
                f"deviation {number(values['seed_sd'], 4)} nats"
            )
        )
    parts.append(
        Text(
            f"moved: from width {result['base_width']}, in factors of 2. excess: loss of that "
            "width's best rate above the best rate here, in nats and in seed standard deviations."
        )
    )
    verdict = result["verdict"]
    demands, words = checks({"holds": verdict["checks"]}), Text(verdict["words"], style="bold")
    return [*parts, demands, warnings(result["warnings"]), words]


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against learning rate, one curve per width, the smooth minimum marked."""
    arms = sorted(result["arms"], reverse=True)
    words = result["verdict"]["words"]
    note = (
        "Points: mean over seeds; triangles: smooth minimum of each width; crosses at the top: "
        "diverged; dashed line: best rate of the base width"
    )
    title = words[0].upper() + words[1:].split(";")[0]
    drawn = style.canvas([1] * len(arms), (5.2 * len(arms) + 0.4, 5.0), title)
    top = _top(result)
    with mpl.rc_context(style.SETTINGS):
        for axes, arm in zip(drawn.axes, arms, strict=True):
            _draw_arm(axes, result["arms"][arm], result["base_width"], top)
            moved = number(result["arms"][arm]["moved"], 1)
            axes.set_title(f"{arm_name(result, arm)}\nbest rate moves {moved} factors of 2")
            axes.set_xlabel("learning rate")
        drawn.axes[0].set_ylabel("held-out loss in nats per token")
    style.footnote(drawn, note)
    return drawn


def _draw_arm(axes: Axes, arm: Mapping[str, Any], base_width: int, top: float | None) -> None:
    for index, (width, curve) in enumerate(arm["widths"].items()):
        colour = style.COLOURS[index % len(style.COLOURS)]
        x = [math.log2(lr) for lr in curve["lrs"]]
        known = [
            (a, loss)
            for a, loss in zip(x, curve["losses"], strict=True)
            if loss is not None and (top is None or loss <= top)
        ]
        lost = [a for a, loss in zip(x, curve["losses"], strict=True) if loss is None]
        axes.plot(*zip(*known, strict=True), marker="o", markersize=4, linewidth=1.6,
                  color=colour, label=f"width {width}")  # fmt: skip
        axes.plot([curve["log2_lr"]], [curve["smooth_loss"]], marker="v", markersize=10,
                  color=colour, markeredgecolor="white", zorder=5)  # fmt: skip
        axes.plot(lost, [0.985] * len(lost), marker="x", linestyle="none", color=colour,
                  transform=axes.get_xaxis_transform())  # fmt: skip
    base = arm["widths"].get(str(base_width))
    if base:
        axes.axvline(math.log2(base["best_lr"]), color=style.MUTED, linewidth=1, linestyle="--")
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$2^{{{value:.0f}}}$"))
    if top is not None:
        axes.set_ylim(top=top)
    if arm["widths"]:
        axes.legend(loc="upper center", ncols=2)


def _top(result: Mapping[str, Any]) -> float | None:
    """Where the loss axis ends, so that curves far up do not flatten the minima."""
    best = [c["best_loss"] for arm in result["arms"].values() for c in arm["widths"].values()]
    seen = [
        loss
        for arm in result["arms"].values()
        for c in arm["widths"].values()
        for loss in c["losses"]
        if loss is not None
    ]
    if not seen:
        return None
    room = 4 * (max(best) - min(best)) + 0.05 * min(best)
    return min(max(seen) * 1.02, max(best) + room)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
