"""A law fitted to a table of runs, as tables in the terminal and as a figure.

A number is shown with the digits that its interval supports; a coefficient that the runs do not fix
is called that, and only its interval is shown.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.interfaces import Law
from windtunnel.report import style
from windtunnel.report.ladder import PREDICTED, TRAINED
from windtunnel.report.table import count, percent, table, warnings

REASON = 70  # characters of why a law was not fitted
SMALLEST, LARGEST = 1e-4, 1e6  # of a number that is written without a power of ten
DIGITS = 2  # of an interval's half width, that the numbers in it are shown with


def laws(listing: Sequence[Law]) -> RenderableType:
    """Every law with its formula, and what it predicts from which columns."""
    rows = [(law.name, law.formula, ", ".join(law.columns), law.response) for law in listing]
    shown = table("Laws", ("law", "formula", "columns", "predicts"), rows)
    for column in shown.columns:
        column.justify = "left"
    shown.columns[0].no_wrap = True
    return shown


# ----------------------------------------------------------------------------------------- tables


def tables(values: Mapping[str, Any]) -> list[RenderableType]:
    """Coefficients, predictions, optima, how good the fit is, and what to beware of."""
    level = f"{100 * values['level']:.0f} % interval"
    parts: list[RenderableType] = []
    if values["laws"]:
        parts.append(_ranking(values["laws"]))
    columns = ("coefficient", "value", level, "meaning")
    coefficients = table(f"{values['law']}: {values['formula']}", columns, _coefficients(values))
    coefficients.columns[3].justify = "left"
    parts.append(coefficients)
    if values["predictions"]:
        columns = ("predicted at", values["response"], level, "FLOPs", "runs cost")
        parts.append(table("Predictions", columns, [_predicted(x) for x in values["predictions"]]))
    if values["optimum"]:
        columns = ("FLOPs", "N", level, "D", level, "D / N")
        parts.append(table("Best N and D", columns, [_best(line) for line in values["optimum"]]))
    parts += [Text(words) for words in (_fit_words(values), _next_words(values)) if words]
    return [*parts, warnings(values["warnings"]), Text(headline(values), style="bold")]


def headline(values: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    if values["predictions"]:
        first = values["predictions"][0]
        return f"Predicted {shown(first, 'loss')} {_ends(first)} at {_inputs(first['inputs'])}"
    held = values["holdout"]
    if held is None:
        return f"{values['law']} fitted to {values['rows']['fitted']} runs, and judged on none"
    return (
        f"{values['law']} predicts {held['rows']} runs that it was not fitted to within "
        f"{100 * held['mape']:.2f} % on average"
    )


def shown(line: Mapping[str, Any], name: str) -> str:
    """The number called `name` with the digits that `low` and `high` beside it support."""
    return _rounded(line[name], line["low"], line["high"])


def _rounded(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "no end"
    half = (high - low) / 2 if low is not None and high is not None else 0.0
    if half <= 0:
        return f"{value:.4g}"
    place = math.floor(math.log10(half)) - DIGITS + 1  # power of ten of the last digit
    if SMALLEST <= abs(value) < LARGEST:
        return f"{round(value, -place):.{max(0, -place)}f}"
    digits = math.floor(math.log10(abs(value))) - place + 1 if value else 1
    return f"{value:.{max(1, digits)}g}"


def _ends(line: Mapping[str, Any]) -> str:
    low, high = line["low"], line["high"]
    if low is None and high is None:
        return "-"
    return f"[{_rounded(low, low, high)}, {_rounded(high, low, high)}]"


def _coefficients(values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            shown(line, "value") if line["identified"] else "not identified",
            _ends(line),
            line["meaning"],
        )
        for name, line in values["parameters"].items()
    ]


def _inputs(inputs: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} = {count(value) if 1 <= value < 1e15 else f'{value:.3g}'}"
        for name, value in inputs.items()
    )


def _predicted(line: Mapping[str, Any]) -> tuple[str, ...]:
    paid = line["cost"]
    flops = "-" if paid is None else f"{paid['target_flops']:.2e}"
    share = "-" if paid is None else f"{100 * paid['share']:.3g} %"
    return _inputs(line["inputs"]), shown(line, "loss"), _ends(line), flops, share


def _best(line: Mapping[str, Any]) -> tuple[str, ...]:
    ends = [f"{count(line[f'{c}_low'])} .. {count(line[f'{c}_high'])}" for c in "ND"]
    ratio = f"{line['D'] / line['N']:.1f}"
    return f"{line['flops']:.2e}", count(line["N"]), ends[0], count(line["D"]), ends[1], ratio


def _ranking(lines: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            line["law"],
            "-" if line["mape"] is None else f"{100 * line['mape']:.2f} %",
            percent(line["max_error"]),
            textwrap.shorten(line["why_not"] or "", REASON, placeholder=" ..."),
        )
        for line in lines
    ]
    columns = ("law", "mean error", "largest", "why it was not fitted")
    shown_laws = table("Laws on the largest tenth of the sizes, fitted without them", columns, rows)
    shown_laws.columns[3].justify = "left"
    return shown_laws


def _fit_words(values: Mapping[str, Any]) -> str:
    rows, starts, held = values["rows"], values["starts"], values["holdout"]
    kind = values["loss_kind"].replace("_", " ")
    kind += "" if values["delta"] is None else f", delta {values['delta']:g}"
    words = (
        f"Fitted to {rows['fitted']} of {rows['read']} rows ({kind}): objective "
        f"{values['objective']:.5g}, rms {values['rms_log']:.4g} in log loss; {starts['tried']} "
        f"starts, {starts['pruned']} pruned, {starts['converged']} ended at the minimum. "
        f"Intervals: {values['intervals'] or 'none, since no degree of freedom is left'}."
    )
    if held is None:
        return words
    return (
        f"{words} Held out ({held['on']}; runs: {held['rows']}): mean error "
        f"{100 * held['mape']:.2f} %, largest {percent(held['max_error'])}."
    )


def _next_words(values: Mapping[str, Any]) -> str:
    best = values["predictions"][0]["next_run"] if values["predictions"] else None
    if best is None:
        return ""
    runs = "one more run" if best["n_runs"] == 1 else f"{best['n_runs']} more runs"
    return (
        f"For the FLOPs of these runs once more, {runs} at {_inputs(best['x'])} would shrink the "
        f"first interval most: by {100 * best['shrinks']:.0f} %."
    )


# ----------------------------------------------------------------------------------------- figure


def figure(values: Mapping[str, Any], drawing: Mapping[str, Any]) -> Figure:
    """The runs and the law; beside it the error of each run."""
    title = headline(values)
    drawn = style.canvas((1.7, 1), (10.6, 5.2), title)
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        if drawing["band"] is None:
            _draw_agreement(left, values, drawing)
        else:
            _draw_curve(left, values, drawing)
        _draw_errors(right, drawing)
        left.legend(loc="best")
    notes = [f"{values['law']}: {values['formula']}.", _fit_words(values), *values["warnings"]]
    style.footnote(drawn, " ".join(notes))
    return drawn


def image(drawn: Figure, kind: str) -> bytes:
    """A figure as a file of that kind, such as png.

    Raises:
        ValueError: figures cannot be written so.
    """
    kinds = drawn.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise ValueError(f"figure: expected one of {', '.join(sorted(kinds))}; got {kind!r}")
    page = io.BytesIO()
    with mpl.rc_context(style.SETTINGS):
        drawn.savefig(page, format=kind, dpi=style.DPI, facecolor="white")
    return page.getvalue()


FITTED = {"marker": "o", "markersize": 6, "color": style.BLUE, **TRAINED}
HELD = {"marker": "s", "markersize": 6, "color": style.GREEN, **TRAINED}


def _draw_curve(axes: Axes, values: Mapping[str, Any], drawing: Mapping[str, Any]) -> None:
    (name,) = drawing["columns"]
    line, level = drawing["band"], f"{100 * values['level']:.0f} %"
    axes.fill_between(line["x"], line["low"], line["high"], color=style.BLUE, alpha=0.15,
                      linewidth=0, label=f"{level} prediction interval of one run")  # fmt: skip
    axes.plot(line["x"], line["loss"], color=style.BLUE, linewidth=1.6, label="the fitted law")
    _draw_runs(axes, drawing, drawing["x"][name], drawing["loss"])
    for index, each in enumerate(values["predictions"]):
        _draw_target(axes, each["inputs"][name], each, "" if index else "predicted")
    style.log_axis(axes, style.apart(line["x"][:1] + drawing["x"][name] + line["x"][-1:]))
    axes.set_xlabel(name)
    axes.set_ylabel(_unit(values))


def _draw_agreement(axes: Axes, values: Mapping[str, Any], drawing: Mapping[str, Any]) -> None:
    targets = [each["loss"] for each in values["predictions"]]
    ends = [*drawing["loss"], *drawing["predicted"], *targets]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=style.MUTED, linewidth=1)
    _draw_runs(axes, drawing, drawing["predicted"], drawing["loss"])
    for index, each in enumerate(values["predictions"]):
        _draw_target(axes, each["loss"], each, "" if index else "predicted")
    axes.set_xlabel(f"{_unit(values)}, by the law")
    axes.set_ylabel(f"{_unit(values)}, measured")


def _draw_runs(
    axes: Axes, drawing: Mapping[str, Any], across: Sequence[float], up: Sequence[float]
) -> None:
    for held, label, look in ((False, "fitted runs", FITTED), (True, "runs held out", HELD)):
        points = [
            (x, y) for x, y, own in zip(across, up, drawing["held"], strict=True) if own == held
        ]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **look)


def _draw_target(axes: Axes, x: float, line: Mapping[str, Any], label: str) -> None:
    ends = [line[end] if line[end] is not None else line["loss"] for end in ("low", "high")]
    errors = [[max(0.0, line["loss"] - ends[0])], [max(0.0, ends[1] - line["loss"])]]
    axes.errorbar([x], [line["loss"]], yerr=errors, label=label or None, **PREDICTED)


def _draw_errors(axes: Axes, drawing: Mapping[str, Any]) -> None:
    pairs = zip(drawing["predicted"], drawing["loss"], strict=True)
    errors = [100 * (predicted / actual - 1) for predicted, actual in pairs]
    axes.axhline(0, color=style.MUTED, linewidth=1)
    _draw_runs(axes, drawing, drawing["predicted"], errors)
    axes.set_xlabel("by the law")
    axes.set_ylabel("error in %")
    axes.set_title("What the law misses")


def _unit(values: Mapping[str, Any]) -> str:
    return "loss in nats" if values["response"] == "L" else values["response"]
