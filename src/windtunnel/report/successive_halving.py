"""Successive halving as tables and a figure: who went on, and how often a rule keeps the best."""

from __future__ import annotations

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
from windtunnel.report.table import count, number, show, table, warnings

RULES = {
    "early_loss": "early loss",
    "predicted": "predicted end",
    "proportional": "annealing as the rate",
}


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Every trial's way, and the judgement of the rules where the truth is known."""
    rungs, seeds = result["rungs"], list(result["won"])
    columns = ("trial", *(f"at rung {i + 1}" for i in range(len(rungs))), "at the end", "went on")
    rows = [
        (
            trial,
            *(number(_mean([curve[rung - 1] for curve in own.values()]), 4) for rung in rungs),
            number(_mean(list(result["final"][trial].values())), 4),
            " ".join(str(_reached(result, trial, seed)) for seed in seeds),
        )
        for trial, own in result["curves"].items()
    ]
    parts: list[RenderableType] = [
        table("Held-out loss in nats, mean over the seeds that got there", columns, rows),
        Text(
            f"went on: rungs that the trial entered, seed by seed, ranked by "
            f"{RULES[result['rule']]}. Rungs end after {', '.join(map(str, rungs))} evaluations."
        ),
    ]
    judged = result["judgement"]
    if judged is not None:
        columns = ("rule", *(f"kept at rung {i + 1}" for i in range(len(rungs) - 1)), "won",
                   "regret in nats", "rank correlation")  # fmt: skip
        rows = [
            (
                RULES[rule],
                *(f"{100 * share:.0f} %" for share in own["kept"]),
                f"{100 * own['won']:.0f} %",
                f"{own['regret']:.4f}",
                " ".join(number(value, 2) for value in own["agreement"]),
            )
            for rule, own in judged["rules"].items()
        ]
        title = f"How often the best trial is kept, over {judged['n_resamples']} resamples of " \
            f"{judged['n_drawn']} trials"  # fmt: skip
        parts.append(table(title, columns, rows))
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def headline(result: Mapping[str, Any]) -> str:
    """What halving cost, and which rule keeps the best trial."""
    cost = result["cost"]
    spent = cost["halving"] + cost["pilot"]
    lead = f"{spent:.1f} runs' worth of training instead of {cost['all']:.0f}"
    judged = result["judgement"]
    if judged is None:
        won = ", ".join(str(name) for name in result["won"].values())
        return f"Halving by {RULES[result['rule']]} chose {won} for {lead}"
    shares = " and ".join(
        f"{100 * own['won']:.0f} % by {RULES[rule]}" for rule, own in judged["rules"].items()
    )
    return f"The best trial wins in {shares}, for {lead}"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _reached(result: Mapping[str, Any], trial: str, seed: str) -> int:
    """How many rungs a trial entered."""
    return sum(trial in names for names in result["entered"][seed])


def figure(result: Mapping[str, Any]) -> Figure:
    """The curves of the first seed, with the rungs; the loss at each rung against that at the end;
    and how often each rule keeps the best."""
    drawn = style.canvas((1.4, 1, 1), (14.0, 5.0), headline(result))
    with mpl.rc_context(style.SETTINGS):
        curves, ranks, kept = drawn.axes
        _draw_curves(curves, result)
        _draw_ranks(ranks, result)
        _draw_kept(kept, result)
    style.footnote(
        drawn,
        f"Left: first seed; dashed: rungs, at which trials were ranked by "
        f"{RULES[result['rule']]}. Middle: mean over seeds, at the first rung and at the end. "
        f"Law: {result['formula']}, fitted to pilot runs{_exponent(result)}.",
    )
    return drawn


def _exponent(result: Mapping[str, Any]) -> str:
    """What several pilots said of the areas."""
    law = result["laws"].get("predicted")
    return f"; S1 and S2 as the rate to the power of {law['p']:.2f}" if law else ""


def _draw_curves(axes: Axes, result: Mapping[str, Any]) -> None:
    seed = next(iter(result["won"]))
    colours = mpl.colormaps["viridis"].resampled(max(2, len(result["curves"])))
    for index, (trial, own) in enumerate(result["curves"].items()):
        points = [(t, v) for t, v in zip(result["tokens"], own[seed], strict=True) if v is not None]
        axes.plot([t for t, _ in points], [v for _, v in points], color=colours(index),
                  linewidth=1.5, label=trial)  # fmt: skip
    for rung in result["rungs"][:-1]:
        axes.axvline(result["tokens"][rung - 1], color=style.MUTED, linestyle="--", linewidth=1)
    axes.set_title("Trials")
    axes.set_xlabel("training tokens")
    axes.set_ylabel("held-out loss in nats per token")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.legend(loc="best", ncols=2)


def _draw_ranks(axes: Axes, result: Mapping[str, Any]) -> None:
    pairs = [
        (_mean([curve[result["rungs"][0] - 1] for curve in own.values()]),
         _mean(list(result["final"][trial].values())))
        for trial, own in result["curves"].items()
    ]  # fmt: skip
    colours = mpl.colormaps["viridis"].resampled(max(2, len(pairs)))
    for index, (early, end) in enumerate(pairs):
        if early is not None and end is not None:
            axes.plot([early], [end], "o", color=colours(index), markersize=7)
    axes.set_title("Early and final loss")
    axes.set_xlabel("held-out loss at the first rung")
    axes.set_ylabel("at the end")


def _draw_kept(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("How often the best trial is still in")
    judged = result["judgement"]
    if judged is None:
        return
    names = [*(f"rung {i + 1}" for i in range(len(result["rungs"]) - 1)), "won"]
    for index, (rule, own) in enumerate(judged["rules"].items()):
        axes.plot(names, [*own["kept"], own["won"]], "o-", color=style.COLOURS[index],
                  label=RULES[rule])  # fmt: skip
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower left")
