"""Several designs as a table and a figure: what each reaches, at which rate, and at the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.table import count, number, show, table, warnings

CERTAIN = 0.95  # probability from which on a design is called better or worse
LINES = ("-", "--", ":")  # a colour comes again with another line


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """The designs at the target, at their widths, and at their learning rates."""
    ranked = ranking(result)
    level = f"{100 * result['level']:.0f} %"
    target = f"width {result['target']['width']}, N = {count(result['target']['n'])}"
    title = f"At the target ({target}, {result['n_convention']}), by {result['formula']}"
    columns = ("design", "predicted", level, "less reference", level, "P(better)")
    parts: list[RenderableType] = [
        table(title, columns, [_at_target(name, own) for name, own in ranked.items()])
    ]
    widths = _widths(result)
    columns = ("design", *(f"width {width}" for width in widths), "seconds")
    rows = [_at_widths(name, own, widths) for name, own in ranked.items()]
    parts.append(table("Held-out loss in nats, mean over seeds (deviation)", columns, rows))
    figures = _figures(result)
    if figures:
        rows = [_at_figures(name, own, figures) for name, own in ranked.items()]
        title = f"At width {widths[-1]}, mean over seeds (deviation)"
        parts.append(table(title, ("design", *figures), rows))
    columns = ("design", "best lr (log2)", "loss", "sensitivity", "lost", "of trials")
    rows = [_trials(name, own["trials"]) for name, own in ranked.items()]
    parts.append(table("Learning rates, the same number for each", columns, rows))
    parts.append(
        Text(
            "seconds: of a run at the largest width. sensitivity: mean loss of the trials above "
            "the best one. lost: trials that diverged."
        )
    )
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def ranking(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The designs by what they are predicted to reach, those without a prediction last."""

    def place(item: tuple[str, Mapping[str, Any]]) -> float:
        predicted = item[1]["prediction"]
        return math.inf if predicted is None else predicted["loss"]

    return dict(sorted(result["variants"].items(), key=place))


def headline(result: Mapping[str, Any]) -> str:
    """Who beats the reference at the target, in one sentence."""
    chances = {
        name: own["against_reference"]["probability"]
        for name, own in ranking(result).items()
        if own["against_reference"] is not None
    }
    if not chances:
        return "Undecided: no ladder could be set beside the reference's"
    better = [name for name, chance in chances.items() if chance >= CERTAIN]
    worse = [name for name, chance in chances.items() if chance <= 1 - CERTAIN]
    open_ = [name for name in chances if name not in (*better, *worse)]
    parts = [
        f"{words}: {', '.join(names)}"
        for words, names in (("better", better), ("worse", worse), ("undecided", open_))
        if names
    ]
    return f"At the target, beside {result['reference']}: {'; '.join(parts)}"


def _widths(result: Mapping[str, Any]) -> list[str]:
    known = {width for own in result["variants"].values() for width in own["widths"]}
    return sorted(known, key=int)


def _at_target(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    predicted, verdict = own["prediction"], own["against_reference"]
    loss = ("-", "-") if predicted is None else (number(predicted["loss"], 4), _ends(predicted))
    if verdict is None:
        return (name, *loss, "", "", "")
    return (
        name,
        *loss,
        f"{verdict['difference']:+.4f}",
        f"{verdict['low']:+.4f} .. {verdict['high']:+.4f}",
        number(verdict["probability"], 3),
    )


def _at_widths(name: str, own: Mapping[str, Any], widths: list[str]) -> tuple[str, ...]:
    found = own["widths"]
    cells = [
        f"{found[w]['loss']:.4f} ({number(found[w]['sd'], 4)})" if w in found else "-"
        for w in widths
    ]
    last = found[max(found, key=int)]["seconds"] if found else None
    return (name, *cells, number(last, 1))


def _figures(result: Mapping[str, Any]) -> list[str]:
    """Names of the figures that some design left."""
    variants = result["variants"].values()
    return list(dict.fromkeys(n for own in variants for n, x in own["figures"].items() if x))


def _at_figures(name: str, own: Mapping[str, Any], figures: list[str]) -> tuple[str, ...]:
    cells = (own["figures"][figure] for figure in figures)
    return (
        name,
        *("-" if x is None else f"{_size(x['mean'])} ({_size(x['sd'])})" for x in cells),
    )


def _size(value: float | None) -> str:
    """A figure of any size: four digits, or a count in thousands and so on."""
    return number(value, 4) if value is None or value < 1000 else count(value)


def _trials(name: str, tried: Mapping[str, Any]) -> tuple[str, ...]:
    if tried["best_lr"] is None:
        return (name, "-", "-", "-", str(tried["n_lost"]), str(len(tried["lrs"])))
    return (
        name,
        f"{math.log2(tried['best_lr']):+.2f}" + (" edge" if tried["on_edge"] else ""),
        number(min(loss for loss in tried["losses"] if loss is not None), 4),
        number(tried["sensitivity"], 3),
        str(tried["n_lost"]),
        str(len(tried["lrs"])),
    )


def _ends(interval: Mapping[str, float]) -> str:
    return f"{interval['low']:.4f} .. {interval['high']:.4f}"


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Ladders with their predictions; losses against learning rates; learning curves."""
    drawn = style.canvas((1.5, 1, 1), (14.0, 5.6), headline(result))
    with mpl.rc_context(style.SETTINGS):
        ladder, rates, curves = drawn.axes
        for index, (name, own) in enumerate(result["variants"].items()):
            look = {
                "color": style.COLOURS[index % len(style.COLOURS)],
                "linestyle": LINES[index // len(style.COLOURS) % len(LINES)],
                "linewidth": 1.5,
            }
            _draw_ladder(ladder, name, own, look, result["target"]["n"])
            _draw_trials(rates, own["trials"], look)
            curves.plot(own["curve"]["tokens"], own["curve"]["loss"], **look)
        _label(drawn, result)
    style.footnote(
        drawn,
        "Left: one point per width, the mean over seeds, the law fitted to all runs, and what it "
        f"predicts at the target with its {100 * result['level']:.0f} % interval. Middle: trials "
        "at one width; crosses at the top: diverged. Right: held-out loss at the largest width.",
    )
    return drawn


def _draw_ladder(
    axes: Axes, name: str, own: Mapping[str, Any], look: dict[str, Any], target_n: int | None
) -> None:
    points = list(own["widths"].values())
    dots: dict[str, Any] = {**look, "linestyle": "none"}
    axes.plot([x["n"] for x in points], [x["loss"] for x in points], marker="o", markersize=5,
              label=name if own["band"] is None else None, **dots)  # fmt: skip
    if own["band"] is None or target_n is None:
        return
    axes.plot(own["band"]["n"], own["band"]["loss"], label=name, **look)
    predicted = own["prediction"]
    errors = [[predicted["loss"] - predicted["low"]], [predicted["high"] - predicted["loss"]]]
    axes.errorbar([target_n], [predicted["loss"]], yerr=errors, fmt="D", markersize=6,
                  markerfacecolor="none", capsize=4, color=look["color"])  # fmt: skip


def _draw_trials(axes: Axes, tried: Mapping[str, Any], look: dict[str, Any]) -> None:
    pairs = list(zip(tried["lrs"], tried["losses"], strict=True))
    known = [(math.log2(lr), loss) for lr, loss in pairs if loss is not None]
    lost = [math.log2(lr) for lr, loss in pairs if loss is None]
    crosses: dict[str, Any] = {**look, "linestyle": "none", "marker": "x"}
    axes.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=4, **look)
    axes.plot(lost, [0.985] * len(lost), transform=axes.get_xaxis_transform(), **crosses)


def _label(drawn: Figure, result: Mapping[str, Any]) -> None:
    ladder, rates, curves = drawn.axes
    sizes = [x["n"] for own in result["variants"].values() for x in own["widths"].values()]
    if sizes:
        ends = [result["target"]["n"]] if result["target"]["n"] else []
        style.log_axis(ladder, style.apart([*sizes, *ends]))
        ladder.legend(loc="best", ncols=1 + (len(result["variants"]) > 6))
    ladder.set_title("The ladders")
    ladder.set_xlabel(f"parameters N ({result['n_convention'].replace('_', ' ')})")
    ladder.set_ylabel("held-out loss in nats per token")
    rates.set_title("Learning rates")
    rates.set_xlabel("learning rate")
    rates.xaxis.set_major_locator(MultipleLocator(1))
    rates.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$2^{{{value:.0f}}}$"))
    curves.set_title("Learning curves")
    curves.set_xlabel("training tokens")
    curves.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value).replace(" ", "")))
