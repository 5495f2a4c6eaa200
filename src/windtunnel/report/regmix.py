"""The search for a mixture as tables and a figure: fits, mixtures, what larger models say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.text import Text

from windtunnel.report import style
from windtunnel.report.mixtures import cells, cost
from windtunnel.report.table import count, number, percent, show, table, warnings

NAMES = {
    "chosen": "chosen",
    "natural": "natural",
    "uniform": "uniform",
    "best_proxy": "best proxy's",
}
DRAWN = 2  # regressors in the figure: the chooser and the next best


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """The regressors, the mixtures, and the larger models."""
    parts: list[RenderableType] = []
    if result["regressors"]:
        level = f"{100 * result['level']:.0f} %"
        columns = ("regressor", "Spearman", level, "explained", "best mixture, predicted")
        rows = [_regressor(name, own, result) for name, own in ranked(result).items()]
        title = f"Fits of {result['target']}, judged on {len(result['held_out'])} other proxies"
        parts.append(table(title, columns, rows))
        parts.append(table("The mixtures", ("domain", *NAMES.values()), _mixtures(result)))
        columns = ("mixture", f"{result['chooser']} predicts", "measured", "less chosen", level)
        rows = [_small(name, result) for name in NAMES]
        parts.append(
            table(f"Trained at the proxies' size, {_size(result['small'])}", columns, rows)
        )
        columns = ("mixture", "measured", "less chosen", level, "most epochs")
        rows = [_large(name, result) for name in NAMES]
        parts.append(table(f"Trained at {_size(result['large'])}", columns, rows))
    noise = result["noise"]
    parts.append(
        Text(
            f"{result['target']} varies by {number(noise['sd'], 4)} over seeds and by "
            f"{number(noise['spread'], 4)} over mixtures: a perfect fit would reach a correlation "
            f"of {number(noise['ceiling'], 3)}."
        )
    )
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def ranked(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The regressors, the one that chose first, then by their rank correlation."""

    def place(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, float]:
        return item[0] != result["chooser"], -(item[1]["spearman"] or -1.0)

    return dict(sorted(result["regressors"].items(), key=place))


def headline(result: Mapping[str, Any]) -> str:
    """Whether the chosen mixture is better, in one sentence."""
    if not result["candidates"]:
        return "Nothing was predicted"
    chosen = result["candidates"]["chosen"]["check"]["mean"]
    if chosen is None:
        return "A mixture was chosen and has not been tried"
    words = [f"{NAMES[name]} {cost(own)}" for name, own in result["against"].items()]
    return f"Chosen mixture: {chosen:.3f} nats on {result['target']}; {', '.join(words)}"


def _regressor(name: str, own: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{name} (chooses)" if name == result["chooser"] else name,
        number(own["spearman"], 3),
        f"{number(own['spearman_low'], 3)} .. {number(own['spearman_high'], 3)}",
        percent(1 - own["mse"] / own["variance"] if own["variance"] else None),
        number(own["best_predicted"], 4),
    )


def _mixtures(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    own = {name: result["candidates"][name]["weights"] for name in NAMES}
    return [
        (domain, *(number(own[name].get(domain, 0.0), 3) for name in NAMES))
        for domain in result["tokens"]
    ]


def _size(size: Mapping[str, Any]) -> str:
    return f"width {size['width']}, {count(size['tokens'])} tokens"


def _small(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    own = result["candidates"][name]
    predicted = number(own["predicted"][result["chooser"]], 4)
    against = result["small_against"].get(name)
    return (NAMES[name], predicted, *cells(own["small"], against, own["epochs"])[:3])


def _large(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    own = result["candidates"][name]
    return (NAMES[name], *cells(own["check"], result["against"].get(name), own["epochs"]))


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Predictions against other proxies; what the mixtures hold; what they reach."""
    drawn = style.canvas((1.1, 1.4, 1), (14.0, 5.4), headline(result))
    with mpl.rc_context(style.SETTINGS):
        fits, shares, losses = drawn.axes
        if result["candidates"]:
            _draw_fits(fits, result)
            _draw_shares(shares, result)
            _draw_losses(losses, result)
        fits.set_title("Proxies that no fit has seen")
        fits.set_xlabel("predicted, nats per token")
        fits.set_ylabel("measured, nats per token")
        shares.set_title("The mixtures")
        shares.set_xlabel("share of the tokens")
        losses.set_title(f"Width {result['large']['width']}, {result['target']}")
        losses.set_ylabel("held-out loss in nats per token")
    when = "before" if result["predicted_before_check"] else "after"
    style.footnote(
        drawn,
        f"Proxies and diamonds: {_size(result['small'])}. "
        f"Right: {count(result['large']['tokens'])} tokens each, a dot per seed; the choice was "
        f"written down {when} these were trained.",
    )
    return drawn


def _draw_fits(axes: Axes, result: Mapping[str, Any]) -> None:
    actual = [loss for _, loss in result["held_out"]]
    for name, colour in zip(list(ranked(result))[:DRAWN], DOTS, strict=False):
        own = result["regressors"][name]
        axes.plot(own["predicted"], actual, "o", markersize=4.5, color=colour, alpha=0.8,
                  label=f"{name}: Spearman {number(own['spearman'], 3)}")  # fmt: skip
    for name, words in NAMES.items():
        own = result["candidates"][name]
        axes.plot(own["predicted"][result["chooser"]], own["small"]["mean"] or np.nan, "D",
                  markersize=8, color=COLOURS[name], label=words)  # fmt: skip
    ends = [min(actual), max(actual)]
    axes.plot(ends, ends, color=style.MUTED, linewidth=1, linestyle="--")
    axes.legend(loc="upper left", fontsize="small")


def _draw_shares(axes: Axes, result: Mapping[str, Any]) -> None:
    domains = list(result["tokens"])
    places, height = np.arange(len(domains)), 0.8 / len(NAMES)
    for index, (name, words) in enumerate(NAMES.items()):
        weights = result["candidates"][name]["weights"]
        axes.barh(places + (index - 1.5) * height, [weights.get(d, 0.0) for d in domains], height,
                  color=COLOURS[name], label=words)  # fmt: skip
    axes.set_yticks(places, domains)
    axes.invert_yaxis()
    axes.legend(loc="best")


def _draw_losses(axes: Axes, result: Mapping[str, Any]) -> None:
    for place, name in enumerate(NAMES):
        losses = list(result["candidates"][name]["losses"].values())
        axes.plot([place] * len(losses), losses, "o", markersize=6, color=COLOURS[name], alpha=0.8)
        if losses:
            mean = result["candidates"][name]["check"]["mean"]
            axes.plot([place - 0.25, place + 0.25], [mean, mean], color=COLOURS[name])
    axes.set_xticks(range(len(NAMES)), list(NAMES.values()))
    axes.set_xlim(-0.5, len(NAMES) - 0.5)


DOTS = (style.INK, style.MUTED)
COLOURS = {
    "chosen": style.RED,
    "natural": style.BLUE,
    "uniform": style.GREEN,
    "best_proxy": style.PURPLE,
}
