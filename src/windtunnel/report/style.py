"""One look for all figures: colours, axes, and how a figure is written."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from windtunnel.report.table import count

INK, MUTED, GRID = "#1f2933", "#66727f", "#e4e8ec"
# Okabe and Ito 2008: told apart under every common form of colour blindness.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
DPI = 140
SMALLEST_GAP = 0.08  # between labels of a logarithmic axis, as a share of its length
CHARACTERS_PER_INCH = 14.0  # of a footnote
TITLE_CHARACTERS_PER_INCH = 9  # of a figure's title, bold

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fontsize": 8.5,
}


def canvas(columns: Sequence[float], size: tuple[float, float], title: str) -> Figure:
    """An empty figure with axes of the given relative widths; its title says what was found."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        figure.subplots(1, len(columns), width_ratios=list(columns))
        text = textwrap.fill(title, int(size[0] * TITLE_CHARACTERS_PER_INCH))
        figure.suptitle(text, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure


def footnote(figure: Figure, words: str) -> None:
    """Writes what a reader must know below the axes."""
    width = int(figure.get_figwidth() * CHARACTERS_PER_INCH)
    text = textwrap.fill(words, width)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8.5, color=MUTED)


def log_axis(axes: Axes, ticks: Sequence[float]) -> None:
    """Makes the x axis logarithmic, with a label at each of `ticks` and nowhere else."""
    axes.set_xscale("log")
    axes.xaxis.set_ticks(list(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value).replace(" ", "")))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def apart(values: Sequence[float]) -> list[float]:
    """Those of the values whose labels have room on a logarithmic axis; both ends are kept."""
    known = sorted(set(values))
    room = (known[-1] / known[0]) ** SMALLEST_GAP
    kept = known[:1]
    for value in known[1:-1]:
        if value >= kept[-1] * room and value * room <= known[-1]:
            kept.append(value)
    return kept + known[1:][-1:]


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Heights for labels at these values: at least `gap` apart, in their order, least moved."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    heights = np.empty(len(values))
    heights[order] = isotonic_regression(np.asarray(values, float)[order] - steps).x + steps
    return heights.tolist()


def save(figure: Figure, folder: Path) -> None:
    """Writes `figure.png` into `folder`."""
    with mpl.rc_context(SETTINGS):
        figure.savefig(folder / "figure.png", dpi=DPI, facecolor="white")
