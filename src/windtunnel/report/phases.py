"""Training on with new text, as a table and a figure: gained, forgotten, and the trade between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import count, number, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Losses before and after, and what more replay does."""
    level = f"{100 * result['level']:.0f} %"
    before = result["before"]
    rows = [("before", _mean(before["old"]), _mean(before["new"]), "", "", "", "")]
    rows += [
        (
            f"replay {replay}",
            _mean(own["old"]),
            _mean(own["new"]),
            *_difference(own["forgotten"]),
            *_difference(own["gained"]),
        )
        for replay, own in result["arms"].items()
    ]
    columns = ("", "old loss", "new loss", "forgotten", level, "gained", level)
    title = (
        f"{count(result['old_tokens'])} tokens of {', '.join(result['old'])}, then "
        f"{count(result['new_tokens'])} of {', '.join(result['new'])}: nats per token"
    )
    steps = [
        (f"{step['from']} to {step['to']}", *_difference(step["old"]), *_difference(step["new"]))
        for step in result["steps"]
    ]
    columns_steps = ("replay", "old loss", level, "new loss", level)
    return [
        table(title, columns, rows),
        table("What more replay does", columns_steps, steps),
        warnings(result["warnings"]),
        Text(headline(result), style="bold"),
    ]


def headline(result: Mapping[str, Any]) -> str:
    """How much replay forgetting takes, in one sentence."""
    least, *_, most = result["arms"].values()
    if least["forgotten"] is None or most["forgotten"] is None:
        return "Nothing can be said: a phase was not trained"
    n_falls = sum(step["sign"] < 0 for step in result["steps"])
    names = list(result["arms"])
    return (
        f"Forgotten: {least['forgotten']['mean']:+.3f} nats with replay {names[0]}, "
        f"{most['forgotten']['mean']:+.3f} with {names[-1]}; it falls beyond doubt in {n_falls} of "
        f"{len(result['steps'])} steps"
    )


def _mean(own: Mapping[str, Any]) -> str:
    return "-" if own["mean"] is None else f"{own['mean']:.4f} ({number(own['sd'], 4)})"


def _difference(own: Mapping[str, Any] | None) -> tuple[str, str]:
    if own is None:
        return "-", ""
    ends = "" if own["low"] is None else f"{own['low']:+.4f} .. {own['high']:+.4f}"
    return f"{own['mean']:+.4f}", ends


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Forgotten and gained over the share of replay; old loss against new loss."""
    drawn = style.canvas((1.2, 1), (11.6, 5.2), headline(result))
    with mpl.rc_context(style.SETTINGS):
        shares, trade = drawn.axes
        for what, colour in (("forgotten", style.RED), ("gained", style.BLUE)):
            _draw_share(shares, result, what, colour)
        shares.axhline(0, color=style.MUTED, linewidth=1)
        shares.set_title("Against what was before")
        shares.set_xlabel("share of replay in the second phase")
        shares.set_ylabel("nats per token")
        shares.legend(loc="best")
        _draw_trade(trade, result)
    style.footnote(
        drawn,
        f"Means over seeds with their {100 * result['level']:.0f} % intervals. First phase: "
        f"{', '.join(result['old'])}; second: {', '.join(result['new'])} and replay. All branch "
        "off from the same base run of their seed and decay over the same number of tokens.",
    )
    return drawn


def _draw_share(axes: Axes, result: Mapping[str, Any], what: str, colour: str) -> None:
    known = [(float(r), own[what]) for r, own in result["arms"].items() if own[what] is not None]
    means = [own["mean"] for _, own in known]
    ends = [
        [0.0 if own["low"] is None else own["mean"] - own["low"] for _, own in known],
        [0.0 if own["high"] is None else own["high"] - own["mean"] for _, own in known],
    ]
    axes.errorbar([r for r, _ in known], means, yerr=ends, fmt="o-", markersize=5, capsize=3,
                  color=colour, linewidth=1.5, label=what)  # fmt: skip


def _draw_trade(axes: Axes, result: Mapping[str, Any]) -> None:
    points = {f"replay {replay}": own for replay, own in result["arms"].items()}
    for name, own in {"before": result["before"], **points}.items():
        if own["old"]["mean"] is None or own["new"]["mean"] is None:
            continue
        colour = style.MUTED if name == "before" else style.GREEN
        axes.plot([own["new"]["mean"]], [own["old"]["mean"]], "o", markersize=6, color=colour)
        axes.annotate(name, (own["new"]["mean"], own["old"]["mean"]), xytext=(6, 4),
                      textcoords="offset points", fontsize=8.5)  # fmt: skip
    axes.margins(0.15)
    axes.set_title("The trade")
    axes.set_xlabel("loss on the new domains, nats per token")
    axes.set_ylabel("loss on the old domains, nats per token")
