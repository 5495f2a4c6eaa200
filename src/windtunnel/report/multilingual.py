"""Sampling ratios as tables and a figure: the law of each language, the ratios, what they reach."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.mixtures import cells, cost
from windtunnel.report.table import count, number, percent, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """The laws, the ratios, and the larger models."""
    parts: list[RenderableType] = []
    if result["laws"]:
        level = f"{100 * result['level']:.0f} %"
        columns = ("language", "tokens", "gamma", level, "loss alone", "error")
        rows = [_law(name, own, result) for name, own in result["laws"].items()]
        parts.append(table("L = L* p^-gamma, at the small size", columns, rows))
        arms = result["arms"]
        rows = [
            (name, *(number(own["shares"].get(name), 3) for own in arms.values()))
            for name in result["tokens"]
        ]
        parts.append(table("Shares of the sampling", ("language", *arms), rows))
        rows = [
            (name, *(number(own["languages"].get(name), 4) for own in arms.values()))
            for name in result["tokens"]
        ]
        parts.append(table("Held-out loss of the larger models", ("language", *arms), rows))
        size = f"width {result['large']['width']}, {count(result['large']['tokens'])} tokens"
        columns = ("ratio", "predicted, small", "measured", "less optimal", level, "most epochs")
        rows = [_arm(name, result) for name in arms]
        parts.append(table(f"Mean over languages at {size}", columns, rows))
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def headline(result: Mapping[str, Any]) -> str:
    """Whether the optimal ratio is better, in one sentence."""
    if not result["arms"]:
        return "Nothing was predicted"
    mean = result["arms"]["optimal"]["check"]["mean"]
    if mean is None:
        return "The best ratio was predicted and has not been tried"
    words = [f"{name} {cost(own)}" for name, own in result["against"].items()]
    return f"Fitted ratio: {mean:.3f} nats over all languages; {', '.join(words)}"


def _law(name: str, own: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name,
        count(result["tokens"][name]),
        number(own["gamma"], 4),
        f"{own['low']:.4f} .. {own['high']:.4f}",
        number(own["alone"], 4),
        percent(own["rms_log"]),
    )


def _arm(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    own, against = result["arms"][name], result["against"].get(name)
    return (name, number(own["predicted"], 4), *cells(own["check"], against, own["epochs"]))


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Losses over shares with their laws; the ratios; what they reach."""
    drawn = style.canvas((1.3, 1.3, 1), (14.0, 5.4), headline(result))
    with mpl.rc_context(style.SETTINGS):
        laws, shares, losses = drawn.axes
        if result["laws"]:
            _draw_laws(laws, result)
            _draw_shares(shares, result)
            _draw_losses(losses, result)
        laws.set_title("Small models: the law of each language")
        laws.set_xlabel("share of the sampling")
        laws.set_ylabel("held-out loss in nats per token")
        shares.set_title("Shares")
        losses.set_title(f"Width {result['large']['width']}: mean over languages")
        losses.set_ylabel("held-out loss in nats per token")
    when = "before" if result["predicted_before_check"] else "after"
    style.footnote(
        drawn,
        f"Small models: width {result['small']['width']}, {count(result['small']['tokens'])} "
        f"tokens. Right: {count(result['large']['tokens'])} tokens each, a dot per seed; the "
        f"optimal shares were written down {when} these were trained.",
    )
    return drawn


def _draw_laws(axes: Axes, result: Mapping[str, Any]) -> None:
    for index, (name, own) in enumerate(result["laws"].items()):
        colour = style.COLOURS[index % len(style.COLOURS)]
        pairs = [
            (point["shares"][name], point["losses"][name])
            for point in result["points"]
            if point["shares"].get(name) and name in point["losses"]
        ]
        axes.plot([p for p, _ in pairs], [loss for _, loss in pairs], "o", markersize=3.5,
                  color=colour, label=f"{name}: gamma {own['gamma']:.3f}")  # fmt: skip
        ends = np.geomspace(min(p for p, _ in pairs), max(p for p, _ in pairs), 50)
        axes.plot(ends, own["alone"] * ends ** -own["gamma"], color=colour, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain)
    axes.legend(loc="upper right")


def _draw_shares(axes: Axes, result: Mapping[str, Any]) -> None:
    arms = list(result["arms"])
    left = np.zeros(len(arms))
    for index, name in enumerate(result["tokens"]):
        own = np.array([result["arms"][arm]["shares"].get(name, 0.0) for arm in arms])
        axes.barh(arms, own, left=left, label=name, height=0.7,
                  color=style.COLOURS[index % len(style.COLOURS)])  # fmt: skip
        left += own
    axes.invert_yaxis()
    axes.grid(visible=False)


def _draw_losses(axes: Axes, result: Mapping[str, Any]) -> None:
    for place, (name, own) in enumerate(result["arms"].items()):
        colour = style.RED if name == "optimal" else style.BLUE
        losses = list(own["losses"].values())
        axes.plot([place] * len(losses), losses, "o", markersize=6, color=colour, alpha=0.8)
        if losses:
            mean = own["check"]["mean"]
            axes.plot([place - 0.25, place + 0.25], [mean, mean], color=colour)
    axes.set_xticks(range(len(result["arms"])), list(result["arms"]))
    axes.set_xlim(-0.5, len(result["arms"]) - 0.5)
