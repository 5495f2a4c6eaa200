"""Two designs side by side: which will be better at the target, and where they cross."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.fit import shown
from windtunnel.report.ladder import TRAINED
from windtunnel.report.table import count, table, warnings

CERTAIN = 0.95  # probability from which on a design is called the better one


def tables(values: Mapping[str, Any]) -> list[RenderableType]:
    """What each design is predicted to reach, the verdict, and what to beware of."""
    level = f"{100 * values['level']:.0f} % interval"
    names = list(values["designs"][0]["parameters"])
    rows = [
        (
            each["name"],
            str(each["runs"]),
            *(f"{each['parameters'][name]:.4g}" for name in names),
            shown(each, "loss"),
            f"{each['low']:.4f} .. {each['high']:.4f}",
        )
        for each in values["designs"]
    ]
    columns = ("design", "runs", *names, f"loss at {_target(values)}", level)
    return [
        table(f"{values['law']}: {values['formula']}", columns, rows),
        Text(_pairs(values)),
        Text(_crossing(values)),
        warnings(values["warnings"]),
        Text(headline(values), style="bold"),
    ]


def headline(values: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    a, b = (each["name"] for each in values["designs"])
    chance = values["probability"]
    difference = (
        f"{values['difference']:+.4f} nats [{values['low']:+.4f}, {values['high']:+.4f}] of {a} "
        f"over {b}, at {_target(values)}"
    )
    if max(chance, 1 - chance) < CERTAIN:
        return f"Undecided: {a} is better with probability {chance:.2f}; {difference}"
    better = a if chance > 0.5 else b
    return f"{better} is better with probability {max(chance, 1 - chance):.3f}; {difference}"


def _target(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {count(value)}" for name, value in values["target"].items())


def _pairs(values: Mapping[str, Any]) -> str:
    if not values["n_pairs"]:
        return "No runs were paired: both designs were drawn independently."
    return (
        f"{values['n_pairs']} pairs of runs, whose noise correlates by {values['rho']:.2f}. The "
        "probability is about the designs, the mean over many seeds, and not about one run of each."
    )


def _crossing(values: Mapping[str, Any]) -> str:
    crossing, along = values["crossing"], values["along"]
    share = f"{100 * crossing['share']:.0f} % of the resamples cross"
    if crossing["size"] is None:
        return f"The fitted curves do not cross up to the target; {share}."
    ends = f"[{count(crossing['low'])}, {count(crossing['high'])}]"
    return f"The fitted curves last cross at {along} = {count(crossing['size'])} {ends}; {share}."


def figure(values: Mapping[str, Any], drawing: Mapping[str, Any]) -> Figure:
    """Runs and curves of both designs up to the target, with the two predictions there."""
    drawn = style.canvas((1,), (8.4, 5.2), headline(values))
    along, line = drawing["along"], drawing["line"]
    with mpl.rc_context(style.SETTINGS):
        (axes,) = drawn.axes
        both = zip(values["designs"], drawing["designs"], (style.BLUE, style.RED), strict=True)
        for each, runs, colour in both:
            axes.plot(runs["x"], runs["loss"], marker="o", color=colour, label=each["name"],
                      **TRAINED)  # fmt: skip
            axes.plot(line, runs["curve"], color=colour, linewidth=1.4)
            errors = [[each["loss"] - each["low"]], [each["high"] - each["loss"]]]
            axes.errorbar([values["target"][along]], [each["loss"]], yerr=errors, color=colour,
                          marker="D", capsize=4)  # fmt: skip
        if values["crossing"]["size"] is not None:
            axes.axvline(values["crossing"]["size"], color=style.MUTED, linewidth=1, dashes=(4, 3))
        style.log_axis(axes, style.apart([*drawing["designs"][0]["x"], values["target"][along]]))
        axes.set_xlabel(along)
        axes.set_ylabel("loss in nats")
        axes.legend(loc="best")
    style.footnote(drawn, " ".join([_pairs(values), _crossing(values), *values["warnings"]]))
    return drawn
