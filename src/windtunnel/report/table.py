"""Tables and sentences, in the terminal and as `table.txt` in the study's folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 110  # columns of `table.txt`


def number(value: float | None, digits: int) -> str:
    """A number with fixed digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as signed per cent, or a dash where there is none."""
    return "-" if value is None else f"{100 * value:+.2f} %"


def count(value: float | None) -> str:
    """A count in thousands, millions and so on, or a dash where there is none."""
    if value is None:
        return "-"
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    out = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for index, column in enumerate(columns):
        justify = "right" if index else "left"
        # Where it is narrow, numbers give way before names do.
        out.add_column(column, justify=justify, overflow="fold", no_wrap=index == 0)
    for line in rows:
        out.add_row(*line)
    return out


MARKS = {True: "yes", False: "NO", None: "-"}


def checks(columns: Mapping[str, Mapping[str, bool | None]]) -> Group | Table:
    """A line per demand and a column per fit, with whether it holds; empty without demands."""
    demands = list(dict.fromkeys(name for column in columns.values() for name in column))
    if not demands:
        return Group()
    rows = [(name, *(MARKS[column.get(name)] for column in columns.values())) for name in demands]
    return table("What is demanded", ("", *columns), rows)


def warnings(sentences: Sequence[str]) -> Group:
    """One line per warning."""
    return Group(*(Text.assemble(("note: ", "yellow"), sentence) for sentence in sentences))


def outcome(line: Mapping[str, Any]) -> str:
    """How a member ended, with the step where it diverged."""
    if line["outcome"] == "diverged":
        return f"diverged at step {line['outcome_step']}"
    return line["outcome"]


def show(parts: Sequence[RenderableType], folder: Path) -> None:
    """Prints `parts` to the terminal and writes them into `folder` as plain text."""
    parts = [part for part in parts if not (isinstance(part, Group) and not part.renderables)]
    page = io.StringIO()
    for console in (Console(), Console(file=page, width=WIDTH, no_color=True)):
        for part in parts:
            console.print(part)
            console.print()
    (folder / "table.txt").write_text(page.getvalue(), encoding="utf-8")
