"""Runs as a table of text, from a CSV file or from a folder of records, and columns made from it.

A CSV has one header; lines that start with # are comments; an export of W&B's table of runs is one.
A folder is searched for `record.json` at any depth; its columns are listed in `RECORD_COLUMNS`,
beside every value of the configuration under its dotted name.

Which column of the table a law's column is made from is written as N=N_params,D=D_tokens,L=loss,
with an expression on the right (`query.py`).

Axes: M rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Record
from windtunnel.scaling.query import Cells, Expression, parse

RECORD_COLUMNS = (
    "N_CONVENTION and C_CONVENTION for every way of counting, D_tokens, loss, bits_per_byte, "
    "name, role, seed, outcome, steps, seconds, schedule"
)
SHOWN = 5  # rows that a message names


@dataclass(frozen=True)
class Table:
    """Rows by name (the line of a file, or a job), and the cells of each column."""

    names: tuple[str, ...]
    columns: dict[str, Cells]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, keep_M: ndarray) -> Table:
        """The rows where `keep_M` holds."""
        names = tuple(name for name, keep in zip(self.names, keep_M, strict=True) if keep)
        columns = {
            name: Cells(cells.text_M[keep_M], cells.number_M[keep_M])
            for name, cells in self.columns.items()
        }
        return Table(names, columns)

    def where(self, condition: str) -> ndarray:
        """Where a condition holds [M].

        Raises:
            ValueError: it cannot be parsed, names a column that is not there, or is no condition.
        """
        return parse(condition).truth(self.columns, len(self))

    def numbers(
        self, wanted: Mapping[str, Expression], above_zero: Collection[str]
    ) -> dict[str, ndarray]:
        """The columns that expressions give, by name [M] each.

        Args:
            wanted: what each column is made from.
            above_zero: those that must hold numbers above 0; the others may have any sign.

        Raises:
            ValueError: a column is not there, or a row holds no number of that kind.
        """
        found = {n: each.numbers(self.columns, len(self)) for n, each in wanted.items()}
        for name, values_M in found.items():
            positive = name in above_zero
            bad_M = ~np.isfinite(values_M) | (positive & (values_M <= 0))
            if bad_M.any():
                self._refuse(name, wanted[name], bad_M, " above 0" if positive else "")
        return found

    def _refuse(self, name: str, expression: Expression, bad_M: ndarray, kind: str) -> None:
        bad = np.flatnonzero(bad_M)
        cells = [
            f"{self.names[row]} ("
            + ", ".join(f"{n} is {self.columns[n].text_M[row]!r}" for n in expression.names)
            + ")"
            for row in bad[:SHOWN]
        ]
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ValueError(
            f"column {name} = {expression.text}: {len(bad)} of {len(self)} rows hold no finite "
            f"number{kind}: {', '.join(cells)}{more}; mend them, or leave them out, as with "
            f'--where "{expression.text} > 0"'
        )


def read_table(path: Path) -> Table:
    """The runs of a CSV file or of a folder of records.

    Raises:
        ValueError: there is nothing to read there, or it is no table.
    """
    if path.is_dir():
        return _read_records(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a CSV file or a folder of records; {error}") from None
    return _read_csv(path, text)


def parse_columns(text: str) -> dict[str, Expression]:
    """What each column is made from, of `N=N_params,D=D_tokens,L=loss`.

    Raises:
        ValueError: a part is no NAME=EXPRESSION, an expression is none, or a name comes twice.
    """
    found: dict[str, Expression] = {}
    for part in _split(text):
        name, sign, expression = (piece.strip() for piece in part.partition("="))
        if not (name and sign and expression):
            raise ValueError(
                f"columns: expected NAME=COLUMN or NAME=COLUMN*NUMBER between commas; got {part!r}"
            )
        if name in found:
            raise ValueError(f"columns: {name} is given twice; got {text!r}")
        found[name] = parse(expression)
    return found


def _split(text: str) -> Iterator[str]:
    """The parts between commas that stand outside of backquotes."""
    part, quoted = "", False
    for character in text:
        quoted ^= character == "`"
        if character == "," and not quoted:
            yield part
            part = ""
        else:
            part += character
    yield part


def _read_csv(path: Path, text: str) -> Table:
    # a comment becomes an empty line, so that the reader counts lines as the file does
    lines = ["" if line.startswith("#") else line for line in text.splitlines()]
    reader = csv.reader(lines)
    header: list[str] = []
    names, rows = [], []
    for row in reader:
        if not row:
            continue
        if not header:
            header = [cell.strip() for cell in row]
            continue
        if len(row) != len(header):
            raise ValueError(
                f"{path} line {reader.line_num}: expected {len(header)} cells, as in the header; "
                f"got {len(row)}"
            )
        names.append(f"line {reader.line_num}")
        rows.append([cell.strip() for cell in row])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: column {', '.join(twice)} comes twice: rename one")
    if not rows:
        raise ValueError(f"{path}: expected a header and rows below it; got no row")
    return _table(names, {c: [row[i] for row in rows] for i, c in enumerate(header)})


def _read_records(folder: Path) -> Table:
    paths = sorted(folder.rglob("record.json"))
    if not paths:
        raise ValueError(f"{folder}: expected a folder of records; found no record.json in it")
    rows = [_row(Record.load(path.parent)) for path in paths]
    header = dict.fromkeys(name for row in rows for name in row)
    names = [path.parent.relative_to(folder).as_posix() for path in paths]
    return _table(names, {c: [row.get(c, "") for row in rows] for c in header})


def _row(record: Record) -> dict[str, str]:
    """One record as cells; what it does not hold is empty."""
    held = record.evaluation
    row: dict[str, Any] = {
        **{f"N_{convention}": n for convention, n in record.parameters.items()},
        "D_tokens": record.tokens,
        **{f"C_{convention}": flops for convention, flops in record.train_flops.items()},
        "loss": None if held is None else held.loss_nats,
        "bits_per_byte": None if held is None else held.bits_per_byte,
        "name": record.name,
        "role": record.role,
        "seed": record.seed,
        "outcome": record.outcome,
        "steps": record.steps,
        "seconds": record.seconds,
        "schedule": record.config.get("schedule"),
    }
    return {name: _text(value) for name, value in {**dict(_leaves(record.config)), **row}.items()}


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        elif above:
            yield f"{above}{name}", value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _table(names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Table:
    cells = {
        name: Cells(np.array(values, object), np.array([_number(value) for value in values]))
        for name, values in columns.items()
    }
    return Table(tuple(names), cells)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
