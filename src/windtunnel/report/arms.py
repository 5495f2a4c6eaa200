"""Choices of text as tables and a figure: what each gives at equal tokens, and in each domain."""

from __future__ import annotations

import math
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
    """Losses of all arms, those of each domain, and what was scored."""
    level = f"{100 * result['level']:.0f} %"
    columns = ("text", "loss", "deviation", f"less {result['control']}", level, "bits/byte",
               "tokens there", "epochs", "lr (log2)")  # fmt: skip
    rows = [_arm(name, own) for name, own in result["arms"].items()]
    parts: list[RenderableType] = [table("Held-out loss in nats per token", columns, rows)]
    domains = _domains(result)
    if domains:
        columns = ("domain", *result["arms"])
        parts.append(table("By domain", columns, domains))
    if result["scores"] is not None:
        parts.append(Text(_scored(result["scores"])))
    parts += [Text(_model(name, own)) for name, own in result["models"].items()]
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def headline(result: Mapping[str, Any]) -> str:
    """The best choice, and whether it is beyond doubt."""
    known = {n: own["loss"]["mean"] for n, own in result["arms"].items() if own["loss"]["seeds"]}
    if not known:
        return "No choice of text left a loss"
    best = min(known, key=lambda name: known[name])
    less = result["arms"][best]["less_control"]
    if less is None:
        return f"No choice of text beats {best} ({known[best]:.4f} nats)"
    sure = less["high"] is not None and less["high"] < 0
    words = "beyond doubt" if sure else "not beyond doubt"
    return (
        f"Best: {best} ({known[best]:.4f} nats), {-less['mean']:.4f} less than "
        f"{result['control']}, {words}"
    )


def _arm(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    data, lr = own["data"] or {}, own["trials"]["best_lr"]
    return (
        name,
        number(own["loss"]["mean"], 4),
        number(own["loss"]["sd"], 4),
        *_less(own["less_control"]),
        number(own["bits_per_byte"]["mean"], 4),
        count(data.get("tokens")),
        number(data.get("epochs"), 2),
        "-" if lr is None else f"{math.log2(lr):.1f}",
    )


def _less(less: Mapping[str, Any] | None) -> tuple[str, str]:
    """A difference from the control and its interval, or dashes."""
    if less is None:
        return "-", "-"
    known = less["low"] is not None
    return f"{less['mean']:+.4f}", f"{less['low']:+.4f} to {less['high']:+.4f}" if known else "-"


def _domains(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    arms = list(result["arms"].values())
    names = sorted({name for own in arms for name in own["domains"]})
    return [(name, *(number(own["domains"].get(name), 4) for own in arms)) for name in names]


def _scored(scores: Mapping[str, Any]) -> str:
    words = [f"Scored: {scores['n_documents']} documents, {count(scores['n_tokens'])} tokens"]
    for name, own in scores["columns"].items():
        words.append(f"{name} {own['mean']:.3f} (deviation {own['sd']:.3f})")
    return "; ".join(words)


def _model(name: str, own: Mapping[str, Any]) -> str:
    return (
        f"The {name} model: {count(own['parameters']['non_embedding'])} parameters, "
        f"{count(own['tokens'])} tokens, loss {number(own['loss'], 4)}, {count(own['flops'])} FLOPs"
    )


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Every seed's loss by arm; beside it how each domain differs from the control."""
    drawn = style.canvas((1, 1.4), (10.8, 4.8), headline(result))
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        _draw_losses(left, result)
        _draw_domains(right, result)
    style.footnote(drawn, "; ".join([_says(result), *result["warnings"]]))
    return drawn


def _draw_losses(axes: Axes, result: Mapping[str, Any]) -> None:
    for i, (name, own) in enumerate(result["arms"].items()):
        colour = style.COLOURS[i % len(style.COLOURS)]
        losses = list(own["losses"].values())
        axes.plot([i] * len(losses), losses, "o", color=colour, alpha=0.5, markersize=5)
        if losses:
            axes.plot([i - 0.25, i + 0.25], [own["loss"]["mean"]] * 2, color=colour, linewidth=2)
        axes.annotate(name, (i, 0), (0, -6), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", va="top", fontsize=9)  # fmt: skip
    axes.set_xlim(-0.6, max(len(result["arms"]), 1) - 0.4)
    axes.set_xticks([])
    axes.set_ylabel("held-out loss in nats per token")
    axes.set_title("Loss of every seed")


def _draw_domains(axes: Axes, result: Mapping[str, Any]) -> None:
    control = result["arms"].get(result["control"], {}).get("domains", {})
    names = sorted(control, reverse=True)
    for i, (arm, own) in enumerate(result["arms"].items()):
        if arm == result["control"] or not own["domains"]:
            continue
        less = [own["domains"][name] - control[name] for name in names]
        axes.plot(less, range(len(names)), "o", color=style.COLOURS[i % len(style.COLOURS)],
                  markersize=6, label=arm)  # fmt: skip
    axes.axvline(0, color=style.MUTED, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"nats per token less than {result['control']}, mean over seeds")
    axes.set_title("By domain")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _says(result: Mapping[str, Any]) -> str:
    seeds = max((own["loss"]["seeds"] for own in result["arms"].values()), default=0)
    return (
        f"All arms train as many tokens, each at the best of as many learning rates; {seeds} seeds"
    )
