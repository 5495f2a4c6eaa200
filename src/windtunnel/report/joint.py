"""A joint fit as a table and a figure: loss against N and D, the constant, the entropy rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import checks, count, number, show, table, warnings

LABEL_GAP = 0.05  # between labels of curves, as a share of the losses' range


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Losses over the grid, coefficients, and constants beside the entropy rate."""
    parts: list[RenderableType] = [_grid(result["jobs"])]
    if result["parameters"] is not None:
        level = f"{100 * result['level']:.0f} % interval"
        rows = [
            (name, f"{value:.5g}", _pair(result["intervals"][name]))
            for name, value in result["parameters"].items()
        ]
        parts.append(table(result["formula"], ("coefficient", "value", level), rows))
        parts.append(_constants(result))
        parts.append(Text(result["why_fixed_is_higher"]))
    demands, words = checks({"holds": result["checks"]}), Text(headline(result), style="bold")
    return [*parts, demands, warnings(result["warnings"]), words]


def headline(result: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    constant, truth = result["constant"], result["truth"]
    if constant is None:
        return "Too few runs finished: nothing was fitted"
    found = f"E = {constant['value']:.3f} [{constant['low']:.3f}, {constant['high']:.3f}]"
    if truth is None:
        return f"{found} nats per token"
    return f"{found}, entropy rate of the source {truth:.3f} nats per token"


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against N, one curve per budget; and against D, one curve per width."""
    note = result.get("why_fixed_is_higher", "")
    drawn = style.canvas([1, 1], (10.8, 5.6), headline(result))
    points = [line for line in result["jobs"] if line["loss"] is not None]
    with mpl.rc_context(style.SETTINGS):
        for axes, along, across in zip(drawn.axes, ("n", "tokens"), ("tokens", "n"), strict=True):
            _draw(axes, result, points, along, across)
        drawn.axes[0].set_xlabel(f"parameters N ({result['n_convention'].replace('_', ' ')})")
        drawn.axes[1].set_xlabel("training tokens D")
        drawn.axes[0].set_ylabel("held-out loss in nats per token")
    style.footnote(drawn, note[:1].upper() + note[1:])
    return drawn


def _draw(
    axes: Axes, result: Mapping[str, Any], points: Sequence[Mapping[str, Any]], along: str,
    across: str,
) -> None:  # fmt: skip
    groups = sorted({line[across] for line in points})
    colours = mpl.colormaps["viridis"]
    sign = {"n": "N", "tokens": "D"}
    ends = []
    for index, value in enumerate(groups):
        colour = colours(0.78 * index / max(1, len(groups) - 1))
        own = [line for line in points if line[across] == value]
        axes.plot([x[along] for x in own], [x["loss"] for x in own], "o", color=colour,
                  markersize=5, markeredgecolor="white", markeredgewidth=0.6)  # fmt: skip
        ends.append((max(own, key=lambda line: line[along]), colour))
        if result["parameters"] is not None:
            x = np.geomspace(min(p[along] for p in own), max(p[along] for p in own), 60)
            columns = {sign[along]: x, sign[across]: np.full_like(x, value)}
            axes.plot(x, law(result["parameters"], **columns), color=colour, linewidth=1.4)
    _draw_constant(axes, result)
    if points:
        losses = [line["loss"] for line in points]
        gap = LABEL_GAP * (max(losses) - min(losses))
        heights = style.spread([last["loss"] for last, _ in ends], gap)
        for (last, colour), height in zip(ends, heights, strict=True):
            axes.annotate(f"{sign[across]} = {count(last[across])}", (last[along], height),
                          xytext=(6, 0), textcoords="offset points", fontsize=8, va="center",
                          color=colour)  # fmt: skip
        style.log_axis(axes, style.apart([p[along] for p in points]))
        axes.margins(x=0.16)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")


def _draw_constant(axes: Axes, result: Mapping[str, Any]) -> None:
    constant = result["constant"]
    if constant is not None:
        axes.axhspan(constant["low"], constant["high"], color=style.RED, alpha=0.13, linewidth=0)
        axes.axhline(constant["value"], color=style.RED, linewidth=1.5,
                     label="fitted constant E and its interval")  # fmt: skip
    if result["truth"] is not None:
        axes.axhline(result["truth"], color=style.INK, linewidth=1.3, linestyle="--",
                     label="true entropy rate")  # fmt: skip
    if result["fixed"]:
        tokens = max(result["fixed"], key=int)
        axes.axhline(result["fixed"][tokens]["value"], color=style.ORANGE, linewidth=1.3,
                     linestyle=":", label=f"constant c fitted at D = {count(int(tokens))} alone",
                     )  # fmt: skip


def law(theta: Mapping[str, float], N: np.ndarray, D: np.ndarray) -> np.ndarray:
    """E + A / N^alpha + B / D^beta in nats."""
    return theta["E"] + theta["A"] / N ** theta["alpha"] + theta["B"] / D ** theta["beta"]


def _grid(jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    budgets = sorted({line["budget"] for line in jobs})
    rows = []
    for width in sorted({line["width"] for line in jobs}):
        cells = []
        for tokens in budgets:
            own = [x for x in jobs if x["width"] == width and x["budget"] == tokens]
            losses = [x["loss"] for x in own if x["loss"] is not None]
            cells.append(number(sum(losses) / len(losses) if losses else None, 4))
        rows.append((str(width), *cells))
    title = "Held-out loss in nats per token, mean over seeds"
    return table(title, ("width", *(f"{count(tokens)} tokens" for tokens in budgets)), rows)


def _constants(result: Mapping[str, Any]) -> RenderableType:
    named = [("E of the joint fit", result["constant"])]
    named += [
        (f"c of the fit at {count(int(tokens))} tokens", value)
        for tokens, value in result["fixed"].items()
    ]
    rows = [(name, number(v["value"], 4), _pair((v["low"], v["high"]))) for name, v in named]
    if result["truth"] is not None:
        rows.append(("entropy rate of the source", number(result["truth"], 4), ""))
    return table("What remains with endless parameters", ("", "nats", "interval"), rows)


def _pair(pair: Sequence[float | None]) -> str:
    ends = ["no end" if end is None else f"{end:.4g}" for end in pair]
    return " .. ".join(ends)
