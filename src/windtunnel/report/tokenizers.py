"""Tokenizers as tables and a figure: what they make of text, and what models make of them."""

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
from windtunnel.report.impossible import interval
from windtunnel.report.table import count, number, show, table, warnings

BASES = {"compute": "at equal compute", "text": "at equal text"}


def report(result: dict[str, Any], folder: Path) -> None:
    """Prints the tables, and writes `table.txt` and `figure.png`."""
    show(tables(result), folder)
    style.save(figure(result), folder)


# ----------------------------------------------------------------------------------------- tables


def tables(result: Mapping[str, Any]) -> list[RenderableType]:
    """What the tokenizers make of the held-out text; bits per byte on both bases."""
    found = result["tokenizers"]
    columns = ("tokenizer", "ids", "bytes/token", "fertility", "cut words", "Renyi", "efficiency",
               "FLOPs/token")  # fmt: skip
    rows = [_text(name, own) for name, own in found.items()]
    parts: list[RenderableType] = [table("Of the held-out text", columns, rows)]
    level = f"{100 * result['level']:.0f} %"
    for basis, words in BASES.items():
        columns = ("tokenizer", "bits/byte", "deviation", f"less {result['reference']}", level,
                   "text", "FLOPs", "lr (log2)")  # fmt: skip
        rows = [_bits(name, own, basis) for name, own in found.items()]
        parts.append(table(f"Held-out bits per byte {words}", columns, rows))
    parts.append(
        Text(
            "cut words: share of the words that are cut into more than one token. Renyi: entropy "
            "in nats; efficiency: its share of that of even use. text: bytes that were trained on."
        )
    )
    return [*parts, warnings(result["warnings"]), Text(headline(result), style="bold")]


def headline(result: Mapping[str, Any]) -> str:
    """The best tokenizer on either basis, in one sentence."""
    parts = []
    for basis, words in BASES.items():
        known = {
            name: own[basis]["mean"]
            for name, own in result["tokenizers"].items()
            if own[basis]["mean"] is not None
        }
        if known:
            best = min(known, key=lambda name: known[name])
            parts.append(f"{words}: {best} ({known[best]:.3f} bits per byte)")
    return f"Best {'; '.join(parts)}" if parts else "No tokenizer left a loss"


def _text(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    text = own["measured"] or {}
    continued = text.get("continued")
    return (
        name,
        str(own["vocab_size"]),
        *(number(text.get(key), 3) for key in ("bytes_per_token", "fertility")),
        "-" if continued is None else f"{100 * continued:.1f} %",
        *(number(text.get(key), 3) for key in ("renyi", "renyi_efficiency")),
        count(own["flops_per_token"]),
    )


def _bits(name: str, own: Mapping[str, Any], basis: str) -> tuple[str, ...]:
    found, lr = own[basis], own["trials"]["best_lr"]
    return (
        name,
        number(found["mean"], 4),
        number(found["sd"], 4),
        *interval(found["less_reference"]),
        *(count(found[key]) for key in ("bytes", "flops")),
        "-" if lr is None else f"{math.log2(lr):+.2f}",
    )


# ----------------------------------------------------------------------------------------- figure


def figure(result: Mapping[str, Any]) -> Figure:
    """Bits per byte against the vocabulary, against compute, and against the efficiency."""
    drawn = style.canvas((1, 1.2, 1), (13.5, 5.0), headline(result))
    colours = dict(zip(result["tokenizers"], style.COLOURS * 4, strict=False))
    with mpl.rc_context(style.SETTINGS):
        sizes, curves, entropy = drawn.axes
        _draw_sizes(sizes, result)
        for name, own in result["tokenizers"].items():
            curve = own["compute"]["curve"]
            curves.plot(curve["flops"], curve["bits_per_byte"], color=colours[name], label=name,
                        linewidth=1.5)  # fmt: skip
            text, mean = own["measured"], own["compute"]["mean"]
            if text is not None and mean is not None:
                entropy.plot([text["renyi_efficiency"]], [mean], "o", color=colours[name])
                entropy.annotate(name, (text["renyi_efficiency"], mean), xytext=(5, 4),
                                 textcoords="offset points", fontsize=8.5)  # fmt: skip
        curves.set_title("At equal compute")
        curves.set_xlabel("training FLOPs")
        curves.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
        if curves.get_legend_handles_labels()[0]:
            curves.legend(loc="upper right")
        entropy.set_title("Renyi's efficiency")
        entropy.set_xlabel("share of the entropy of even use")
        entropy.margins(x=0.2)
        for axes in drawn.axes:
            axes.set_ylabel("held-out bits per byte")
    style.footnote(
        drawn,
        f"Mean over {len(result['seeds'])} seeds, bars one standard deviation. Equal text: "
        f"{count(result['text_bytes'])} bytes; equal compute: what {result['reference']} spends on "
        f"them ({result['flops_convention'].replace('_', ' ')}).",
    )
    return drawn


def _draw_sizes(axes: Axes, result: Mapping[str, Any]) -> None:
    for (basis, words), marker in zip(BASES.items(), ("o", "s"), strict=True):
        known = sorted(
            (own["vocab_size"], own[basis]["mean"], own[basis]["sd"] or 0.0)
            for own in result["tokenizers"].values()
            if own[basis]["mean"] is not None
        )
        if known:
            x, y, error = zip(*known, strict=True)
            axes.errorbar(x, y, yerr=error, marker=marker, capsize=3, linewidth=1.2, label=words,
                          color=style.BLUE if basis == "compute" else style.RED)  # fmt: skip
            style.log_axis(axes, style.apart(x))
            axes.legend(loc="best")
    axes.set_title("Vocabulary")
    axes.set_xlabel("token ids")
