"""Orders of the data under learning-rate schedules as tables and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.impossible import interval
from windtunnel.report.table import count, number, show, table, warnings

AVERAGES = {"last": "last weights", "averaged": "average"}


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Losses of all cells, the gain of every order, and what decay takes of it."""
    level = f"{100 * result['level']:.0f} %"
    cells = [
        (f"{c['order']}, {c['schedule']}, {AVERAGES[c['average']]}", number(c["mean"], 4),
         number(c["sd"], 4), str(c["seeds"]), _rate(c, result["trials_each"]))
        for c in sorted(result["cells"], key=_place)
    ]  # fmt: skip
    parts: list[RenderableType] = [
        table(
            f"Held-out loss in nats after {count(result['tokens'])} tokens",
            ("order, schedule, weights", "loss", "deviation", "seeds", "lr (log2)"),
            cells,
        )
    ]
    for title, key in (
        (f"Gained over {result['control']}", "gains"),
        (f"Taken of the gain under {result['constant']}", "interactions"),
    ):
        rows = [
            (f"{line['order']}, {line['schedule']}, {AVERAGES[line['average']]}",
             *interval(line["difference"]))
            for line in result[key]
        ]  # fmt: skip
        parts.append(table(title, ("order, schedule, weights", "nats", level), rows))
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def headline(result: Mapping[str, Any]) -> str:
    """The largest interaction, in one sentence."""
    known = [line for line in result["interactions"] if line["difference"] is not None]
    if not known:
        return "Undecided: no order was trained under two schedules"
    found = max(known, key=lambda line: abs(line["difference"]["mean"]))
    order, average, own = found["order"], found["average"], found["difference"]
    gained = next(
        line["difference"]["mean"]
        for line in result["gains"]
        if (line["order"], line["schedule"], line["average"])
        == (order, result["constant"], average)
    )
    ends = "" if own["low"] is None else f" [{own['low']:+.3f}, {own['high']:+.3f}]"
    verb = "gains" if gained > 0 else "loses"
    return (
        f"{order} {verb} {abs(gained):.3f} nats under {result['constant']}; {found['schedule']} "
        f"takes {own['mean']:+.3f}{ends} from it ({AVERAGES[average]})"
    )


def _place(cell: Mapping[str, Any]) -> float:
    return math.inf if cell["mean"] is None else cell["mean"]


def _rate(cell: Mapping[str, Any], n_trials: int) -> str:
    if cell["lr"] is None:
        return "-"
    return f"{math.log2(cell['lr']):+.2f}" + (" edge" if cell["on_edge"] and n_trials > 1 else "")


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Losses against schedules, a line per order and weights; and what decay takes, by seed."""
    drawn = style.canvas((1.2, 1), (12.0, 5.2), headline(result))
    colours = dict(zip(result["orders"], style.COLOURS, strict=False))
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        _draw_cells(left, result, colours)
        _draw_interactions(right, result, colours)
    style.footnote(
        drawn,
        f"Mean over {len(result['seeds'])} seeds. Left: bars are one standard deviation; the "
        "average is of the last checkpoints of the same runs. Right: a dot per seed, a bar for "
        "their mean; above 0, decay wastes what the order gains.",
    )
    return drawn


def _draw_cells(axes: Axes, result: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    names = list(result["schedules"])
    for order in result["orders"]:
        for average, line in (("last", "-"), ("averaged", "--")):
            cells = {
                c["schedule"]: c
                for c in result["cells"]
                if (c["order"], c["average"]) == (order, average) and c["mean"] is not None
            }
            if not cells:
                continue
            x = [names.index(name) for name in cells]
            y = [c["mean"] for c in cells.values()]
            sd = [c["sd"] or 0.0 for c in cells.values()]
            axes.errorbar(x, y, yerr=sd, fmt=f"o{line}", color=colours[order], capsize=3,
                          linewidth=1.4, label=f"{order}, {AVERAGES[average]}")  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    axes.margins(x=0.15)
    axes.set_title("Loss")
    axes.set_ylabel("held-out loss in nats per token")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def _draw_interactions(axes: Axes, result: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    known = [line for line in result["interactions"] if line["difference"] is not None]
    for place, line in enumerate(known):
        colour, values = colours[line["order"]], line["difference"]["values"]
        alpha = 0.35 if line["average"] == "last" else 0.15
        axes.bar(place, line["difference"]["mean"], color=colour, alpha=alpha)
        axes.plot([place] * len(values), values, "o", color=colour, markersize=4)
    labels = [f"{x['order']}\n{x['schedule']}\n{AVERAGES[x['average']]}" for x in known]
    axes.set_xticks(range(len(known)), labels, fontsize=min(7, 44 / max(1, len(known))))
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.set_title(f"Taken of the gain under {result['constant']}")
    axes.set_ylabel("nats per token")
