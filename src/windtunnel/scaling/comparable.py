"""Whether the runs of a table may stand in one fit: they must have been trained alike.

A law sees its own columns and nothing else. What it does not see must be the same for all runs, or
the fit takes a difference of training for one of size. Two columns are looked for by name:

    the schedule            no law but those of whole curves sees it
    the length of training  steps or tokens; a law that has D, C or a step among its columns sees it
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from windtunnel.interfaces import Law
from windtunnel.scaling.table import Table

SCHEDULE = {"schedule", "lrschedule", "lrscheduler", "lrschedulertype", "scheduler"}
LENGTH = {
    "d",
    "step",
    "steps",
    "nsteps",
    "maxsteps",
    "totalsteps",
    "trainsteps",
    "globalstep",
    "iteration",
    "iterations",
    "iters",
    "tokens",
    "ntokens",
    "traintokens",
    "totaltokens",
    "dtokens",
}
SEES_LENGTH = {"D", "C", "S1", "step"}
SEES_SCHEDULE = {"S2", "curve"}
SHOWN = 4


def check_comparable(table: Table, law: Law, used: Collection[str]) -> None:
    """Refuses runs that differ in something that the law does not see.

    Args:
        table: the runs.
        law: what is fitted to them.
        used: columns of the table that the law's own are made from.

    Raises:
        ValueError: schedules or lengths of training are mixed.
    """
    sees = set(law.columns)
    hidden = {
        "learning-rate schedules": set() if sees & SEES_SCHEDULE else SCHEDULE,
        "lengths of training": set() if sees & SEES_LENGTH else LENGTH,
    }
    for what, names in hidden.items():
        for column, cells in table.columns.items():
            if column in used or _plain(column) not in names:
                continue
            values = [str(value) for value in np.unique(cells.text_M)]
            if len(values) > 1:
                shown = ", ".join(values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")
                raise ValueError(
                    f"column {column}: the table mixes {what} ({len(values)}: {shown}), and "
                    f"{law.name} sees only {', '.join(law.columns)}, so it would take their effect "
                    f"for that of size: keep one of them with --where, fit a law that sees the "
                    "difference, or take the column out where it makes none"
                )


def _plain(column: str) -> str:
    """A column's name without its groups and signs: `trainer/global_step` is `globalstep`."""
    return re.sub("[^a-z]", "", re.split("[./]", column.lower())[-1])
