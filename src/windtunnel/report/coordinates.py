"""A coordinate check as a table of slopes and a figure: size of activations against width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import checks, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def arm_name(result: Mapping[str, Any], arm: str) -> str:
    """What an arm is called in words."""
    return f"control: {result['control']}" if arm == "control" else "parametrisation under test"


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Slopes per layer and step, for each arm, and the verdict."""
    parts: list[RenderableType] = []
    for arm, values in sorted(result["arms"].items(), reverse=True):
        slopes = values["slopes"]
        steps = list(slopes)
        layers = list(dict.fromkeys(layer for step in steps for layer in slopes[step]))
        lines = [(layer, *(_slope(slopes[step].get(layer)) for step in steps)) for layer in layers]
        title = f"{arm_name(result, arm)}: slope of log2 mean |x| on log2 width"
        parts.append(table(title, ("layer", *(f"step {step}" for step in steps)), lines))
    verdict = result["verdict"]
    demands, words = checks({"holds": verdict["checks"]}), Text(verdict["words"], style="bold")
    return [*parts, demands, warnings(result["warnings"]), words]


def figure(result: Mapping[str, Any]) -> Figure:
    """Mean |x| against width at the last step, one line per layer, its slope in the legend."""
    arms = sorted(result["arms"], reverse=True)
    words = result["verdict"]["words"]
    title = words[0].upper() + words[1:].split(";")[0]
    note = (
        f"Slopes are judged from step {result['from_step']} on; under test each must lie within "
        f"[{result['low']}, {result['high']}], and the control exceed {result['control_above']}"
    )
    drawn = style.canvas([1] * len(arms), (5.4 * len(arms) + 0.4, 5.2), title)
    with mpl.rc_context(style.SETTINGS):
        for axes, arm in zip(drawn.axes, arms, strict=True):
            _draw_arm(axes, result["arms"][arm], arm_name(result, arm))
        drawn.axes[0].set_ylabel("mean |x|, averaged over seeds")
        _same_limits(drawn)
    style.footnote(drawn, note)
    return drawn


def _draw_arm(axes: Axes, arm: Mapping[str, Any], name: str) -> None:
    if not arm["sizes"]:
        axes.set_title(f"{name}\nnothing was measured")
        return
    step = list(arm["sizes"])[-1]
    colours = mpl.colormaps["viridis"]
    layers = arm["sizes"][step]
    widths: set[int] = set()
    for index, (layer, points) in enumerate(layers.items()):
        slope = _slope(arm["slopes"][step][layer])
        axes.plot(points["widths"], [2**value for value in points["log2"]], marker="o",
                  markersize=4, color=colours(0.9 * index / max(1, len(layers) - 1)),
                  label=f"{layer}  {slope}")  # fmt: skip
        widths.update(points["widths"])
    axes.set_yscale("log", base=2)
    style.log_axis(axes, style.apart(list(widths)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(f"{name}\nat step {step}, slope beside each layer")
    axes.set_xlabel("width")
    axes.legend(fontsize=8)


def _same_limits(drawn: Figure) -> None:
    """Gives all panels the same limits, so that their slopes can be compared by eye."""
    limits = [axes.get_ylim() for axes in drawn.axes if axes.lines]
    for axes in drawn.axes:
        if limits:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _slope(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
