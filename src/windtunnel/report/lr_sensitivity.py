"""Learning-rate sensitivity as a table, U-curves, and sensitivity against size."""

from __future__ import annotations

import math
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
from windtunnel.report.table import number, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Sensitivity by width, and the losses behind it."""
    columns = ("intervention", "width", "sensitivity", "best lr", "best loss", "lost", "of runs")
    rows = [
        (name, width, *_cells(at))
        for name, own in result["interventions"].items()
        for width, at in own["widths"].items()
    ]
    title = "Sensitivity in nats, mean over seeds (deviation)"
    words = (
        f"sensitivity: mean excess over the best loss, over {result['decades']:.1f} decades of "
        f"learning rate; a run that diverged counts {number(result['loss_before_training'], 3)}, "
        "the loss before training. lost: runs that diverged."
    )
    lead = Text(headline(result), style="bold")
    return [table(title, columns, rows), Text(words), warnings(result["warnings"]), lead]


def _cells(at: Mapping[str, Any]) -> tuple[str, ...]:
    n_runs = str(len(at["lrs"]) * at["seeds"])
    if at["best_lr"] is None:
        return ("-", "-", "-", str(sum(at["n_lost"])), n_runs)
    return (
        f"{number(at['sensitivity'], 3)} ({number(at['sd'], 3)})",
        f"2^{math.log2(at['best_lr']):g}" + (" edge" if at["on_edge"] else ""),
        number(at["best_loss"], 4),
        str(sum(at["n_lost"])),
        n_runs,
    )


def headline(result: Mapping[str, Any]) -> str:
    """The least and the most sensitive intervention at the largest width, in one sentence."""
    found = {}
    for name, own in result["interventions"].items():
        known = {w: at["sensitivity"] for w, at in own["widths"].items() if at["sensitivity"]}
        if known:
            found[name] = known[max(known, key=int)]
    if not found:
        return "No sensitivity: no run left a loss"
    least, most = min(found, key=lambda n: found[n]), max(found, key=lambda n: found[n])
    return (
        f"At the largest width {least} is the least sensitive ({found[least]:.3f} nats), {most} "
        f"the most ({found[most]:.3f})"
    )


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against learning rate, a panel per width; then sensitivity against size."""
    widths = list(dict.fromkeys(w for own in result["interventions"].values()
                                for w in own["widths"]))  # fmt: skip
    drawn = style.canvas([1] * (len(widths) + 1), (4.2 * (len(widths) + 1), 4.8), headline(result))
    with mpl.rc_context(style.SETTINGS):
        *panels, last = drawn.axes
        for index, (name, own) in enumerate(result["interventions"].items()):
            colour = style.COLOURS[index % len(style.COLOURS)]
            look: dict[str, Any] = {"color": colour, "linewidth": 1.5, "label": name,
                                    "marker": "osD^v*"[index % 6], "markersize": 5}  # fmt: skip
            for width, axes in zip(widths, panels, strict=True):
                _draw(axes, own["widths"][width], look, result["loss_before_training"])
                axes.set_title(f"Width {width}")
            _draw_sizes(last, own["widths"], look)
        panels[0].set_ylabel("held-out loss in nats per token")
        panels[0].legend(loc="upper center")
        last.set_title("Sensitivity")
        last.set_xlabel("width")
        last.set_ylabel("nats")
        last.set_xticks([int(width) for width in widths])
    style.footnote(
        drawn,
        "Points: mean over the seeds that finished; crosses: some diverged, drawn at the loss "
        "before training. Right: mean excess over the best loss, with its deviation over seeds.",
    )
    return drawn


def _draw(axes: Axes, at: Mapping[str, Any], look: dict[str, Any], loss_0: float | None) -> None:
    points = [
        (math.log2(lr), loss if loss_0 is None else min(loss, loss_0))
        for lr, loss in zip(at["lrs"], at["losses"], strict=True)
        if loss is not None
    ]
    axes.plot([x for x, _ in points], [y for _, y in points], **look)
    lost = [math.log2(lr) for lr, n in zip(at["lrs"], at["n_lost"], strict=True) if n]
    if loss_0 is not None:
        axes.plot(lost, [loss_0] * len(lost), "x", color=look["color"])
    axes.set_xlabel("learning rate")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$2^{{{value:.0f}}}$"))


def _draw_sizes(axes: Axes, widths: Mapping[str, Any], look: dict[str, Any]) -> None:
    known = {int(w): at for w, at in widths.items() if at["sensitivity"] is not None}
    axes.errorbar(list(known), [at["sensitivity"] for at in known.values()],
                  yerr=[at["sd"] or 0.0 for at in known.values()], capsize=3, **look)  # fmt: skip
