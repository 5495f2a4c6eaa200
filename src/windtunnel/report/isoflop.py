"""Best sizes for budgets as a table and a figure: a curve per budget, three ways to its foot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
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


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """Losses of the grid, and what each approach says of the target."""
    parts: list[RenderableType] = [_grid(result["jobs"])]
    if any(result["approaches"].values()):
        title = f"Best size for {result['target_flops']:.3g} FLOPs"
        columns = ("approach", "exponent of N in C", "N", "interval", "tokens", "tokens / N")
        parts.append(table(title, columns, [_way(*item) for item in result["approaches"].items()]))
    if result["law"] is not None:
        values = ", ".join(f"{name} = {value:.4g}" for name, value in result["law"].items())
        parts.append(Text(f"L = E + A / N^alpha + B / D^beta: {values}"))
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def _grid(jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    budgets = sorted({line["budget_flops"] for line in jobs})
    rows = []
    for width in sorted({line["width"] for line in jobs}):
        own = [line for line in jobs if line["width"] == width]
        cells = [_mean_loss([x for x in own if x["budget_flops"] == flops]) for flops in budgets]
        rows.append((str(width), count(own[0].get("n")), *cells))
    title = "Held-out loss in nats per token, mean over seeds"
    return table(title, ("width", "N", *(f"{flops:.3g} FLOPs" for flops in budgets)), rows)


def _mean_loss(lines: Sequence[Mapping[str, Any]]) -> str:
    losses = [line["loss"] for line in lines if line["loss"] is not None]
    return number(sum(losses) / len(losses) if losses else None, 4)


def _way(name: str, found: Mapping[str, Any] | None) -> tuple[str, ...]:
    if found is None:
        return (name, "-", "-", "-", "-", "-")
    best = found["target"]
    return (
        name,
        number(found["exponent"], 3),
        count(best["n"]),
        f"{count(best['low'])} .. {count(best['high'])}",
        count(best["tokens"]),
        number(best["tokens"] / best["n"], 1),
    )


def headline(result: Mapping[str, Any]) -> str:
    """What was found, in one sentence."""
    sizes = [found["target"]["n"] for found in result["approaches"].values() if found]
    if not sizes:
        return "No approach found a best size"
    words = f"Best size for {result['target_flops']:.3g} FLOPs: {count(min(sizes))}"
    spread = f" to {count(max(sizes))}" if len(sizes) > 1 else ""
    return f"{words}{spread} parameters, by {len(sizes)} of {len(result['approaches'])} approaches"


def figure(result: Mapping[str, Any]) -> Figure:
    """Loss against N for each budget; beside it the best size against the budget."""
    drawn = style.canvas((1, 1), (10.8, 5.4), headline(result))
    with mpl.rc_context(style.SETTINGS):
        left, right = drawn.axes
        _draw_budgets(left, result)
        _draw_ways(right, result)
    words = "Approach 1 reads runs in the middle of a schedule that anneals, where they lose to "
    style.footnote(
        drawn, f"{words}runs that end there; approaches 2 and 3 read finished runs only."
    )
    return drawn


def _draw_budgets(axes: Axes, result: Mapping[str, Any]) -> None:
    colours, points = mpl.colormaps["viridis"], [x for x in result["jobs"] if x["loss"] is not None]
    for index, flops in enumerate(result["budgets_flops"]):
        colour = colours(0.78 * index / max(1, len(result["budgets_flops"]) - 1))
        own = [line for line in points if line["budget_flops"] == flops]
        if not own:
            continue
        n, loss = (np.array([line[key] for line in own]) for key in ("n", "loss"))
        axes.plot(n, loss, "o", color=colour, markersize=5, markeredgecolor="white",
                  markeredgewidth=0.6, label=f"{flops:.3g} FLOPs")  # fmt: skip
        if len(set(n)) > 3:
            middle, x = np.log(n).mean(), np.geomspace(n.min(), n.max(), 60)
            curve = np.polynomial.Polynomial.fit(np.log(n) - middle, loss, 2)
            axes.plot(x, curve(np.log(x) - middle), color=colour, linewidth=1.4)
    if points:
        style.log_axis(axes, style.apart([line["n"] for line in points]))
        axes.legend(loc="upper center")
    axes.set_xlabel(f"parameters N ({result['n_convention'].replace('_', ' ')})")
    axes.set_ylabel("held-out loss in nats per token")
    axes.set_title("Runs of equal FLOPs, and their parabolas")


def _draw_ways(axes: Axes, result: Mapping[str, Any]) -> None:
    for (name, found), colour in zip(result["approaches"].items(), style.COLOURS, strict=False):
        if found is None:
            continue
        best = found["target"]
        flops, n = ([point[key] for point in found["points"]] for key in ("flops", "n"))
        axes.plot(flops, n, "o", color=colour, markersize=4, alpha=0.7)
        axes.plot([*flops, best["flops"]], [*_line(flops, best, found["exponent"]), best["n"]],
                  color=colour, linewidth=1.3, label=name)  # fmt: skip
        low, high = (best[end] if best[end] else best["n"] for end in ("low", "high"))
        axes.errorbar([best["flops"]], [best["n"]], [[best["n"] - low], [high - best["n"]]],
                      fmt="D", color=colour, markersize=6, capsize=4)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("budget C in FLOPs")
    axes.set_ylabel("best N")
    axes.set_title("Best size against the budget")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left")


def _line(flops: Sequence[float], best: Mapping[str, float], exponent: float) -> list[float]:
    """The power law through the target's size, at the given budgets."""
    return [best["n"] * (c / best["flops"]) ** exponent for c in flops]
