"""Schedules read off a table of training curves, so that a law of whole curves can be fitted to it.

A row is a curve's loss at one step, with the learning rate there. Between rows the rate is taken as
linear; before the first it rises linearly over the warm-up, and then stands. From it the table gets
the columns that such laws need: `curve` (its number) and `step`, and the areas `S1` and `S2` of
`schedule.py`.

Axes: M rows, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.laws.multi_power import MultiPower
from windtunnel.scaling.query import Cells, parse
from windtunnel.scaling.schedule import features
from windtunnel.scaling.table import Table, parse_columns

LONGEST = 10_000_000  # steps of a curve


@dataclass(frozen=True)
class Curves:
    """What tells curves apart, and their rates.

    column: rows of one value of it are one curve. decay: of the momentum in S2. warmup: steps at
    the start over which the rate rose.
    """

    column: str
    decay: float
    warmup: int


def with_areas(table: Table, columns: str, curves: Curves) -> tuple[Table, tuple[ndarray, ...]]:
    """The table with `curve`, `step`, `S1` and `S2`; and the rate of every step of each curve.

    Args:
        table: the rows of all curves.
        columns: what `step` and `lr` are made from, where they are not columns of those names.
        curves: what tells curves apart, and how they began.

    Raises:
        ValueError: a column is missing or holds no numbers, steps are no whole numbers that differ
            within a curve, or a curve ends in its warm-up.
    """
    if curves.column not in table.columns:
        raise ValueError(
            f"curves: there is no column {curves.column}; there are {', '.join(table.columns)}"
        )
    given = parse_columns(columns) if columns else {}
    wanted = {name: given.get(name) or parse(f"`{name}`") for name in ("step", "lr")}
    found = table.numbers(wanted, {"step"})
    label_M = table.columns[curves.column].text_M.astype(str)
    names, curve_M = np.unique(label_M, return_inverse=True)
    areas = {name: np.empty(len(table)) for name in ("S1", "S2")}
    schedules = []
    for index, name in enumerate(names):
        rows = np.flatnonzero(curve_M == index)
        try:
            lr_T = every_step(found["step"][rows], found["lr"][rows], curves.warmup)
            both = features(lr_T, decay=curves.decay, n_warmup=curves.warmup)
        except ValueError as error:
            raise ValueError(f"curve {name}: {error}") from None
        at = found["step"][rows].astype(int) - 1
        areas["S1"][rows], areas["S2"][rows] = both.S1_T[at], both.S2_T[at]
        schedules.append(lr_T)
    numbers = {"curve": curve_M.astype(float), "step": found["step"], **areas}
    made = {name: Cells(values_M.astype(str), values_M) for name, values_M in numbers.items()}
    return replace(table, columns={**table.columns, **made}), tuple(schedules)


def every_step(step_M: ndarray, lr_M: ndarray, warmup: int) -> ndarray:
    """The rate of every step up to the last of the rows [T].

    Raises:
        ValueError: steps are no whole numbers that differ, are too many, or end in the warm-up.
    """
    order = np.argsort(step_M)
    step_M, lr_M = step_M[order], lr_M[order]
    if (step_M % 1 != 0).any() or (np.diff(step_M) == 0).any() or step_M[-1] > LONGEST:
        raise ValueError(
            f"step: expected whole numbers up to {LONGEST}, each once; got "
            f"{', '.join(f'{step:g}' for step in step_M[:4])}, ..., {step_M[-1]:g}"
        )
    if step_M[-1] <= warmup:
        raise ValueError(f"warmup: expected less than the {step_M[-1]:g} steps; got {warmup}")
    after = step_M > warmup
    lr_T = np.interp(np.arange(1, step_M[-1] + 1), step_M[after], lr_M[after])
    lr_T[:warmup] *= np.arange(1, warmup + 1) / (warmup + 1)
    return lr_T


def knowing(law: Law, schedules: tuple[ndarray, ...]) -> Law:
    """The law with the schedules, where it is one that needs them."""
    return replace(law, schedules=schedules) if isinstance(law, MultiPower) else law
