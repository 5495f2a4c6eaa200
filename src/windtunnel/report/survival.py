"""Protections as a table and a figure: who survives a fault, and what it costs without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import count, number, show, table, warnings

TITLES = {"calm": "Without the fault", "fault": "With the fault"}
LINES = ("-", "--", ":")  # a colour comes again with another line


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Every protection with and without the fault, and what else was measured with it."""
    n = result["n_seeds"]
    fault = ", ".join(f"{key}={value}" for key, value in result["fault"].items())
    columns = ("protection", "survived", "with the fault", "excess", "without", "premium", "slower")
    rows = [
        (
            name,
            f"{own['survived']} of {n}",
            _cell(own["fault"], 4) if own["fault"]["n"] else _lost(own),
            _cell(own["excess"], 4),
            _cell(own["calm"], 4),
            _cell(own["premium"], 4),
            _share(own["slowdown"]),
        )
        for name, own in result["variants"].items()
    ]
    title = f"Held-out nats, mean over {n} seeds (deviation); the fault: {fault}"
    parts: list[RenderableType] = [table(title, columns, rows)]
    names = _figures(result)
    if names:
        lines = [(name, *(_measured(own["figures"][f]) for f in names))
                 for name, own in result["variants"].items()]  # fmt: skip
        parts.append(table("With the fault, mean over seeds (deviation)", ("", *names), lines))
    reference = result["reference"]
    parts.append(
        Text(
            f"excess, premium, slower: with the fault, without it, and time per token without it, "
            f"each less that of {reference} without it. Survived: an excess of at most "
            f"{result['margin']:g} nats."
        )
    )
    return [*parts, warnings(result["warnings"]), Text(result["verdict"], style="bold")]


def figure(result: Mapping[str, Any]) -> Figure:
    """Held-out loss against tokens, without and with the fault."""
    words = result["verdict"]
    drawn = style.canvas([1, 1], (11.6, 5.2), words[:1].upper() + words[1:])
    with mpl.rc_context(style.SETTINGS):
        for axes, arm in zip(drawn.axes, TITLES, strict=True):
            for index, (name, own) in enumerate(result["variants"].items()):
                curve = own["curves"][arm]
                axes.plot(curve["tokens"], curve["loss"], label=name, linewidth=1.5,
                          color=style.COLOURS[index % len(style.COLOURS)],
                          linestyle=LINES[index // len(style.COLOURS) % len(LINES)])  # fmt: skip
            axes.set_title(TITLES[arm])
            axes.set_xlabel("training tokens")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
        drawn.axes[0].set_ylabel("held-out loss in nats per token")
        drawn.axes[1].set_yscale("log")
        drawn.axes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        drawn.axes[1].legend()
    style.footnote(drawn, f"Means over the seeds that came so far, of {result['n_seeds']}.")
    return drawn


def _figures(result: Mapping[str, Any]) -> list[str]:
    """Names of the figures that some variant left."""
    variants = result["variants"].values()
    return list(dict.fromkeys(n for own in variants for n, x in own["figures"].items() if x))


def _measured(value: Mapping[str, Any] | None) -> str:
    return "-" if value is None else f"{value['mean']:.4g} ({number(value['sd'], 2)})"


def _cell(value: Mapping[str, Any], digits: int) -> str:
    if value["mean"] is None:
        return "-"
    return f"{number(value['mean'], digits)} ({number(value['sd'], digits)})"


def _share(value: Mapping[str, Any]) -> str:
    return "-" if value["mean"] is None else f"{100 * value['mean']:+.0f} %"


def _lost(own: Mapping[str, Any]) -> str:
    """How the runs ended that left no loss."""
    return ", ".join(f"{n} {outcome}" for outcome, n in Counter(own["outcomes"]).items())
