"""Branches of one stable run beside whole runs of the same lengths: table, laws, figure."""

from __future__ import annotations

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


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Losses by length, differences to the branches, and the laws."""
    arms = result["arms"]
    columns = ("tokens", "branches off at", *map(arm_name, arms))
    starts = dict(zip(result["lengths"], result["starts"], strict=True))
    rows = [
        (count(tokens), count(start), *(_cell(own["lengths"], tokens) for own in arms.values()))
        for tokens, start in starts.items()
    ]
    parts: list[RenderableType] = [
        table("Held-out loss in nats, mean over seeds (deviation)", columns, rows)
    ]
    columns = ("", "less branch", "largest", "pairs", "of them equal", result["formula"])
    rows = [(arm_name(name), *_less(own["less_branch"]), _law(own)) for name, own in arms.items()]
    parts.append(
        table("Beside the branches, run by run of the same length and seed", columns, rows)
    )
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def arm_name(role: str) -> str:
    """What an arm is called in words."""
    return "branches" if role == "branch" else f"whole runs, {role.removeprefix('whole-')}"


def headline(result: Mapping[str, Any]) -> str:
    """What the branches cost and how far from them the same runs trained whole are."""
    cost = f"{100 * result['cost']['ratio']:.0f} % of the tokens of whole runs"
    own = result["arms"].get(f"whole-{result['decay']}")
    if own is None or own["less_branch"] is None:
        return f"Branches of one stable run cost {cost}"
    less = own["less_branch"]
    if less["equal"] == less["pairs"]:
        return f"Branches equal whole runs to the last bit, for {cost}"
    return f"Whole runs end {less['mean']:+.4f} nats from the branches, which cost {cost}"


def _cell(lengths: Mapping[str, Any], tokens: int) -> str:
    own = lengths.get(str(tokens))
    return "-" if own is None else f"{own['loss']:.4f} ({number(own['sd'], 4)})"


def _less(less: Mapping[str, Any] | None) -> tuple[str, ...]:
    if less is None:
        return ("-", "-", "-", "-")
    return (f"{less['mean']:+.4f}", f"{less['largest']:+.4f}", str(less["pairs"]),
            str(less["equal"]))  # fmt: skip


def _law(own: Mapping[str, Any]) -> str:
    if own["parameters"] is None:
        return "-"
    return ", ".join(
        f"{name} {value:.3g} [{own['intervals'][name][0]:.3g}, {own['intervals'][name][1]:.3g}]"
        for name, value in own["parameters"].items()
    )


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against length with the laws; beside it the stable run and its branches."""
    drawn = style.canvas((1, 1.2), (11.0, 5.0), headline(result))
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        for index, (name, own) in enumerate(result["arms"].items()):
            colour, marker = style.COLOURS[index % len(style.COLOURS)], "osD^v"[index % 5]
            points = [(int(tokens), x["loss"]) for tokens, x in own["lengths"].items()]
            left.plot([t for t, _ in points], [loss for _, loss in points], marker, color=colour,
                      markersize=8 - 2 * (index > 0), label=arm_name(name))  # fmt: skip
            if own["band"] is not None:
                left.plot(own["band"]["tokens"], own["band"]["loss"], color=colour, linewidth=1.4)
        style.log_axis(left, result["lengths"])
        left.set_title("What each length reaches")
        left.set_ylabel("held-out loss in nats per token")
        left.legend(loc="best")
        for name, curve in result["curves"].items():
            stable = name.startswith("stable")
            colour, linewidth = (style.MUTED, 2.2) if stable else (style.BLUE, 1.4)
            right.plot(curve["tokens"], curve["loss"], linewidth=linewidth, color=colour)
        right.set_title("The stable run and its branches")
        right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
        for axes in (left, right):
            axes.set_xlabel("training tokens")
    cost = result["cost"]
    style.footnote(
        drawn,
        f"Left: mean over seeds, {result['formula']} fitted to all runs. Right: first seed. The "
        f"stable run takes {count(cost['stable'])} tokens and the tails {count(cost['tails'])}; "
        f"whole runs take {count(cost['whole'])}.",
    )
    return drawn
