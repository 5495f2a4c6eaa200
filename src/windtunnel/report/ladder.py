"""A ladder as a table and a figure: the fitted curve, what it predicted, what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import (
    MARKS,
    checks,
    count,
    number,
    outcome,
    percent,
    show,
    table,
    warnings,
)

WORDS = {"copy_largest": "copy of the largest fitted loss", "power_law": "power law, no constant"}
SHORT = {"copy_largest": "copy largest", "power_law": "power law"}


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the table, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Members, predictions and demands."""
    columns = ("job", "N", "tokens", "loss", "bits/byte", "seconds", "outcome")
    rows = [_member(line) for line in result["jobs"]]
    parts: list[RenderableType] = [table("Ladder: members", columns, rows)]
    if result["prediction"] is not None:
        title = f"Predicted by {result['formula']} (N = {result['n_convention']} parameters)"
        columns = ("", "predicted", "interval", "actual", "error", "gap", "inside")
        parts.append(table(title, columns, [*_predictions(result), *_rivals(result)]))
        parts.append(Text(_fit_words(result)))
    share = result["cost_share"]
    if share["flops"] is not None:
        parts.append(
            Text(
                f"Cost of the ladder over that of the target: {share['flops']:.2f} in FLOPs "
                f"({share['flops_convention']}), {number(share['seconds'], 2)} in seconds"
            )
        )
    demands = {name: own.get("checks", {}) for name, own in _fits(result)}
    return [*parts, checks(demands), warnings(result["warnings"]), Text(headline(result), "bold")]


def headline(result: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    predicted = result["prediction"]
    if predicted is None:
        return "Nothing was predicted"
    interval = f"{predicted['loss']:.3f} [{predicted['low']:.3f}, {predicted['high']:.3f}]"
    if result["actual"] is None:
        return f"Predicted {interval} nats per token; the target has not finished"
    return (
        f"Predicted {interval}, measured {result['actual']:.3f} nats per token: "
        f"error {percent(result['error'])}"
    )


def _fits(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The fit to all seeds, and that of each seed."""
    per_seed = [(f"seed {seed}", own) for seed, own in result["per_seed"].items()]
    return [("all seeds" if per_seed else "prediction", result), *per_seed]


def _member(line: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        line["job"],
        count(line.get("n")),
        count(line.get("tokens")),
        number(line["loss"], 4),
        number(line.get("bits_per_byte"), 4),
        number(line.get("seconds"), 1),
        _use(line),
    )


def _use(line: Mapping[str, Any]) -> str:
    """What a member served for, or how it failed."""
    if line["loss"] is None:
        return outcome(line)
    if line["role"] == "target":
        return "target"
    return "fitted" if line.get("fitted") else "not fitted"


def _predictions(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            number(own["prediction"]["loss"], 4),
            _ends(own["prediction"]),
            number(own["actual"], 4),
            percent(own["error"]),
            number(own["gap"], 4),
            MARKS[own.get("inside")],
        )
        for name, own in _fits(result)
    ]


def _rivals(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    actual = number(result["actual"], 4)
    return [
        (SHORT[name], number(rival["loss"], 4), "", actual, percent(rival.get("error")), "", "")
        for name, rival in result["baselines"].items()
    ]


def _ends(interval: Mapping[str, float]) -> str:
    return f"{interval['low']:.4f} .. {interval['high']:.4f}"


def _fit_words(result: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} = {value:.5g}" for name, value in result["parameters"].items())
    words = (
        f"{values}; seed standard deviation {number(result['seed_sd'], 4)} nats, from "
        f"{result['seed_sd_from']}"
    )
    left = result["leave_largest_out"]
    if left is None:
        return words
    return f"{words}; fitted without the largest, it predicts that one to {percent(left['error'])}"


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against N with the curve and its interval; beside it the target, enlarged."""
    predicted = result["prediction"] is not None
    drawn = style.canvas((3.4, 1.3) if predicted else (1,), (10.6, 5.4), headline(result))
    with mpl.rc_context(style.SETTINGS):
        axes = drawn.axes[0]
        if predicted:
            _draw_forecast(axes, result)
            _draw_target(drawn.axes[1], result)
        _draw_members(axes, result["jobs"])
        sizes = [line["n"] for line in result["jobs"] if line.get("n")]
        if sizes:
            style.log_axis(axes, style.apart(sizes))
        axes.set_xlabel(f"parameters N ({result['n_convention'].replace('_', ' ')})")
        axes.set_ylabel("held-out loss in nats per token")
        axes.set_title("The ladder")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right")
    style.footnote(drawn, _footnote(result))
    return drawn


def _draw_forecast(axes: Axes, result: Mapping[str, Any]) -> None:
    band, predicted, n = result["band"], result["prediction"], result["target"]["n"]
    level = f"{100 * result['level']:.0f} %"
    axes.fill_between(band["n"], band["low"], band["high"], color=style.BLUE, alpha=0.15,
                      linewidth=0, label=f"{level} prediction interval of one run")  # fmt: skip
    axes.plot(band["n"], band["loss"], color=style.BLUE, linewidth=1.6, label=_curve_label(result))
    errors = [[predicted["loss"] - predicted["low"]], [predicted["high"] - predicted["loss"]]]
    axes.errorbar([n], [predicted["loss"]], yerr=errors, label="predicted before it was trained",
                  **PREDICTED)  # fmt: skip
    for (name, rival), line in zip(result["baselines"].items(), ("--", ":"), strict=False):
        axes.axhline(rival["loss"], color=style.MUTED, linewidth=1, linestyle=line,
                     label=f"baseline: {WORDS[name]}")  # fmt: skip


PREDICTED = {
    "fmt": "D",
    "color": style.RED,
    "markersize": 7,
    "markerfacecolor": "none",
    "markeredgewidth": 1.6,
    "capsize": 5,
    "zorder": 5,
}
TRAINED = {"linestyle": "none", "zorder": 4, "markeredgecolor": "white", "markeredgewidth": 0.7}
ACTUAL = {"marker": "*", "markersize": 14, "color": style.GREEN, **TRAINED}


def _draw_members(axes: Axes, jobs: Sequence[Mapping[str, Any]]) -> None:
    look = {"marker": "o", "markersize": 6, "color": style.BLUE, **TRAINED}
    fitted = [line for line in jobs if line.get("fitted")]
    rest = [line for line in jobs if line["role"] == "rung" and not line.get("fitted")]
    targets = [line for line in jobs if line["role"] == "target"]
    _scatter(axes, fitted, "trained and fitted, one point per seed", look)
    _scatter(axes, rest, "trained, not fitted", look | {"color": style.MUTED})
    _scatter(axes, targets, "trained afterwards, one star per seed", ACTUAL)


def _scatter(
    axes: Axes, lines: Sequence[Mapping[str, Any]], label: str, look: dict[str, Any]
) -> None:
    points = [line for line in lines if line["loss"] is not None]
    if points:
        axes.plot([x["n"] for x in points], [x["loss"] for x in points], label=label, **look)


def _draw_target(axes: Axes, result: Mapping[str, Any]) -> None:
    """Predicted interval beside the measured loss, for all seeds and for each."""
    fits = _fits(result)
    for x, (_, own) in enumerate(fits):
        predicted = own["prediction"]
        errors = [[predicted["loss"] - predicted["low"]], [predicted["high"] - predicted["loss"]]]
        axes.errorbar([x - 0.12], [predicted["loss"]], yerr=errors, **PREDICTED)
        if own["actual"] is not None:
            axes.plot([x + 0.12], [own["actual"]], **ACTUAL)
    axes.set_xticks(range(len(fits)), [name.replace(" ", "\n") for name, _ in fits])
    axes.set_xlim(-0.6, len(fits) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_title("The target, enlarged")


def _curve_label(result: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} = {value:.3g}" for name, value in result["parameters"].items())
    return f"fit {result['formula']} ({values})"


def _footnote(result: Mapping[str, Any]) -> str:
    if result["gap"] is None:
        return "; ".join(result["warnings"])
    when = "before" if result["predicted_before_target"] else "after"
    return (
        f"Gap from the largest fitted model to the target {result['gap']:.4f} nats; seed standard "
        f"deviation {result['seed_sd']:.4f}, from {result['seed_sd_from']}. Prediction written "
        f"{result['predicted_at']}, {when} the target was trained."
    )
