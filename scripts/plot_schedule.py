"""Draws learning-rate schedules against training tokens.

python scripts/plot_schedule.py --out schedules.png
python scripts/plot_schedule.py wsd_sqrt cosine schedule.final=0.05 budget.tokens=4e6 --out two.png

A word without `=` is an option of `conf/schedule`; without any, all are drawn that have a value for
everything. A word with `=` is an override, of a schedule's key for those schedules that have it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from numpy import ndarray

from windtunnel.build import make
from windtunnel.config import CONF, compose
from windtunnel.report.fit import image
from windtunnel.report.outputs import check_outputs, write_whole
from windtunnel.report.style import COLOURS, canvas

POINTS = 600
LINES = ("-", "--", ":")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the figure; 2 where there is nothing to draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="names of schedules, and overrides KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True, help="where to draw; .png, .pdf or .svg")
    given = parser.parse_args(arguments)
    try:
        check_outputs([given.out])
        figure = draw(curves([w for w in given.words if "=" not in w],
                             [w for w in given.words if "=" in w]))  # fmt: skip
        write_whole({given.out: image(figure, given.out.suffix.lstrip(".").lower())})
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def curves(names: Sequence[str], overrides: Sequence[str]) -> dict[str, tuple[ndarray, ndarray]]:
    """Tokens and multipliers by the name of the schedule.

    Raises:
        ValueError: there is no such schedule, or none that has a key that is overridden.
    """
    files = sorted((CONF / "schedule").glob("*.yaml"))
    all_values = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    if unknown := sorted(set(names) - set(all_values)):
        raise ValueError(
            f"expected names of schedules, got {', '.join(unknown)}; there are "
            f"{', '.join(all_values)}"
        )
    whole = [name for name, values in all_values.items() if "???" not in values.values()]
    chosen = {name: all_values[name] for name in names or whole}
    for override in overrides:
        if not any(fits(override, values) for values in chosen.values()):
            raise ValueError(f"{override}: none of {', '.join(chosen)} has this key")
    return {
        name: curve(name, [word for word in overrides if fits(word, values)])
        for name, values in chosen.items()
    }


def fits(override: str, values: Mapping[str, Any]) -> bool:
    """Whether an override is none of a schedule, or of one that has the key."""
    group, _, key = override.partition("=")[0].partition(".")
    return group != "schedule" or key in values


def curve(name: str, overrides: Sequence[str]) -> tuple[ndarray, ndarray]:
    """Tokens and multipliers of one schedule."""
    cfg = compose(None, [f"schedule={name}", *overrides])
    schedule, total = make(cfg.schedule), int(cfg.budget.tokens)
    tokens = np.linspace(0, total, POINTS)
    return tokens, np.array([schedule(t, total) for t in tokens])


def draw(lines: Mapping[str, tuple[ndarray, ndarray]]) -> Figure:
    """One line per schedule."""
    figure = canvas([1.0], (7.5, 4.2), "Learning rate against training tokens")
    axes = figure.axes[0]
    for index, (name, (tokens, multipliers)) in enumerate(lines.items()):
        turn, place = divmod(index, len(COLOURS))
        style = LINES[turn % len(LINES)]
        axes.plot(tokens, multipliers, color=COLOURS[place], linestyle=style, label=name)
    axes.set_xlabel("training tokens")
    axes.set_ylabel("multiplier of the peak rate")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
