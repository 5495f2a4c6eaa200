"""Possible and impossible languages as a table and a figure: how well each is learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import count, number, show, table, warnings

LINES = ("-", "--", ":")  # a colour comes again with another line


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """The languages from the best learned on, and every expected order."""
    level = f"{100 * result['level']:.0f} %"
    rows = [
        (name, number(own["loss"], 4), number(own["sd"], 4), number(own["perplexity"], 2),
         *interval(own["above_control"]))
        for name, own in ranking(result).items()
    ]  # fmt: skip
    columns = ("language", "loss", "deviation", "perplexity", "above its control", level)
    links = [
        (f"{link['easier']} < {link['harder']}", *interval(link["difference"]), link["verdict"])
        for link in result["links"]
    ]
    return [
        table(f"Held-out loss in nats, mean over {len(result['seeds'])} seeds", columns, rows),
        table("What was expected", ("easier < harder", "difference", level, "found"), links),
        warnings(result["warnings"]),
        Text(headline(result), style="bold"),
    ]


def ranking(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The languages by their loss, those without one last."""

    def place(item: tuple[str, Mapping[str, Any]]) -> float:
        return np.inf if item[1]["loss"] is None else item[1]["loss"]

    return dict(sorted(result["languages"].items(), key=place))


def headline(result: Mapping[str, Any]) -> str:
    """How much of what was expected came true, in one sentence."""
    verdicts = [link["verdict"] for link in result["links"]]
    said = f"{verdicts.count('as expected')} of {len(verdicts)} differences are as expected"
    against = [
        f"{link['harder']} is easier than {link['easier']}"
        for link in result["links"]
        if link["verdict"] == "the other way"
    ]
    open_ = verdicts.count("undecided")
    return "; ".join([said, *([f"{open_} undecided"] if open_ else []), *against])


def interval(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """A difference and its interval, as far as they are known."""
    if found is None:
        return "", ""
    if found["low"] is None:
        return f"{found['mean']:+.4f}", "-"
    return f"{found['mean']:+.4f}", f"{found['low']:+.4f} .. {found['high']:+.4f}"


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Learning curves side by side; and what each language costs beside its control."""
    drawn = style.canvas((1.4, 1), (11.5, 5.2), headline(result))
    looks = {
        name: {
            "color": style.COLOURS[i % len(style.COLOURS)],
            "linestyle": LINES[i // len(style.COLOURS) % len(LINES)],
        }
        for i, name in enumerate(result["languages"])
    }
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        for name, own in ranking(result).items():
            _draw_curve(left, name, own["curve"], looks[name])
        left.set_title("Learning curves")
        left.set_xlabel("training tokens")
        left.set_ylabel("held-out loss in nats per token")
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
        if left.get_legend_handles_labels()[0]:
            left.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
        _draw_above(right, result, looks)
    style.footnote(
        drawn,
        f"Left: mean over {len(result['seeds'])} seeds, with one standard deviation. Right: loss "
        "above that of the control at the end; a dot per seed, a bar for their mean.",
    )
    return drawn


def _draw_curve(axes: Axes, name: str, curve: Mapping[str, Any], look: dict[str, Any]) -> None:
    loss, sd = np.array(curve["loss"]), np.array(curve["sd"])
    axes.plot(curve["tokens"], loss, label=name, linewidth=1.5, **look)
    axes.fill_between(curve["tokens"], loss - sd, loss + sd, alpha=0.15, linewidth=0,
                      color=look["color"])  # fmt: skip


def _draw_above(axes: Axes, result: Mapping[str, Any], looks: Mapping[str, Any]) -> None:
    known = {n: own["above_control"] for n, own in ranking(result).items() if own["above_control"]}
    for height, (name, found) in enumerate(known.items()):
        colour = looks[name]["color"]
        axes.barh(height, found["mean"], color=colour, alpha=0.35)
        axes.plot(found["values"], [height] * len(found["values"]), "o", color=colour, markersize=4)
    names = [f"{name}\nless {result['languages'][name]['control']}" for name in known]
    axes.set_yticks(range(len(known)), names)
    axes.set_title("Harder than the control")
    axes.set_xlabel("nats per token")
