"""A predicted loss curve as a table and a figure: rates, curves, error of the prediction."""

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
from windtunnel.report.table import count, number, outcome, percent, show, table, warnings


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Members, the fit, and the error of the curve beside that of copying a fitted one."""
    members = [
        (x["job"], x["role"], count(x.get("tokens")), number(x["loss"], 4), outcome(x))
        for x in result["jobs"]
    ]
    columns = ("job", "used as", "tokens", "loss", "outcome")
    parts: list[RenderableType] = [table("Schedules: members", columns, members)]
    if result["parameters"] is not None:
        values = ", ".join(f"{name} = {v:.5g}" for name, v in result["parameters"].items())
        parts.append(
            Text(
                f"{result['formula']}: {values}; momentum decay {result['decay']}, fitted to "
                f"{percent(result['rms_log'])} root mean square"
            )
        )
    if result["final"] is not None:
        parts.append(table(f"The curve of {result['unseen']}", ERRORS, _errors(result)))
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


ERRORS = ("", "mean error", "largest", "at the end")


def _errors(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    own = ("predicted", _share(result["mape"]), _share(result["max_error"]),
           percent(result["final"]["error"]))  # fmt: skip
    rivals = [
        (f"copying the curve of {name}", _share(rival["mape"]), "", percent(rival["final_error"]))
        for name, rival in result["baselines"].items()
    ]
    return [own, *rivals]


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def headline(result: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    if result["parameters"] is None:
        return "Nothing was predicted"
    if result["final"] is None:
        return f"The curve of {result['unseen']} was predicted and has not been trained"
    final = result["final"]
    return (
        f"Curve of {result['unseen']} predicted to {_share(result['mape'])} on average; its end "
        f"{final['loss']:.3f} [{final['low']:.3f}, {final['high']:.3f}], measured "
        f"{final['actual']:.3f}"
    )


def figure(result: Mapping[str, Any]) -> Figure:
    """The curves, fitted and predicted; beside them the learning rates they come from."""
    drawn = style.canvas((2.6, 1), (10.8, 5.2), headline(result))
    names = [*result["fitted"], result["unseen"]]
    others = [colour for colour in style.COLOURS if colour != style.RED]
    colours = dict(zip(names, others, strict=False))
    colours[result["unseen"]] = style.RED
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        _draw_prediction(left, result)
        for curve in result["curves"]:
            first = curve["seed"] == min(c["seed"] for c in result["curves"])
            words = "trained afterwards" if curve["schedule"] == result["unseen"] else "fitted"
            left.plot(curve["tokens"], curve["losses"], ".", markersize=5,
                      color=colours[curve["schedule"]],
                      label=f"{curve['schedule']}, {words}" if first else None)  # fmt: skip
        left.set_ylabel("held-out loss in nats per token")
        left.set_title("Loss")
        if left.get_legend_handles_labels()[0]:
            left.legend(loc="upper right")
        for name, rate in result["rates"].items():
            right.plot(rate["tokens"], rate["lr"], color=colours[name], linewidth=1.6, label=name)
        right.set_title("Learning rate")
        right.legend(loc="lower left")
        for axes in (left, right):
            axes.set_xlabel("training tokens")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    style.footnote(drawn, _footnote(result))
    return drawn


def _draw_prediction(axes: Axes, result: Mapping[str, Any]) -> None:
    curve = result["curve"]
    if curve is None:
        return
    level = f"{100 * result['level']:.0f} %"
    axes.fill_between(np.array(curve["tokens"]), curve["low"], curve["high"], color=style.RED,
                      alpha=0.15, linewidth=0, label=f"{level} prediction interval")  # fmt: skip
    axes.plot(curve["tokens"], curve["loss"], color=style.RED, linewidth=1.6,
              label=f"{result['unseen']}, predicted before it was trained")  # fmt: skip


def _footnote(result: Mapping[str, Any]) -> str:
    if result["final"] is None:
        return "; ".join(result["warnings"])
    when = "before" if result["predicted_before_target"] else "after"
    return (
        f"{result['formula']}, fitted to {' and '.join(result['fitted'])}. "
        f"{100 * result['inside']:.0f} % of the measured points lie inside the interval. "
        f"Prediction written {result['predicted_at']}, {when} {result['unseen']} was trained."
    )
