"""One question to a table of runs, and the rows and columns that it is answered from.

Rows are taken by `where`; those of `holdout` are set aside. A column of the law that `columns` does
not name is taken from the column of the same name.

Axes: M rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.comparable import check_comparable
from windtunnel.scaling.objective import LossKind
from windtunnel.scaling.query import Expression, parse
from windtunnel.scaling.rates import Curves
from windtunnel.scaling.table import Table, parse_columns


@dataclass(frozen=True)
class Request:
    """What is asked of a table.

    law: a law's name, or `auto`. columns: what its columns are made from, `N=N_params,L=loss`.
    where, holdout: conditions on rows. targets: columns of each run to predict. budgets: FLOPs to
    find the best N and D for. loss_kind, delta: what the fit minimises. n_resamples: of a
    bootstrap, None for the default. group: column whose rows of one value share their noise.
    level: probability that intervals claim. seed: of the bootstrap. curves: what tells training
    curves apart, for a law of whole curves.
    """

    law: str
    columns: str
    where: str | None
    holdout: str | None
    targets: tuple[dict[str, float], ...]
    budgets: tuple[float, ...]
    loss_kind: LossKind
    delta: float | None
    n_resamples: int | None
    group: str | None
    level: float
    seed: int
    curves: Curves | None = None

    def expressions(self) -> dict[str, Expression]:
        """What the columns that were named are made from.

        Raises:
            ValueError: they cannot be parsed.
        """
        return parse_columns(self.columns) if self.columns else {}


@dataclass(frozen=True)
class Data:
    """Rows as numbers: columns [M] each, losses [M], which rows are set aside [M], groups [M]."""

    x: dict[str, ndarray]
    loss_M: ndarray
    held_M: ndarray
    group_M: ndarray | None

    def fitted(self) -> Data:
        """The rows that are fitted."""
        return self._take(~self.held_M)

    def held(self) -> Data:
        """The rows that are set aside."""
        return self._take(self.held_M)

    def _take(self, keep_M: ndarray) -> Data:
        x = {name: values_M[keep_M] for name, values_M in self.x.items()}
        group_M = None if self.group_M is None else self.group_M[keep_M]
        return Data(x, self.loss_M[keep_M], self.held_M[keep_M], group_M)


def taken(request: Request, table: Table) -> Table:
    """The rows that `where` takes.

    Raises:
        ValueError: it cannot be parsed, or takes no row.
    """
    if request.where is None:
        return table
    kept = table.take(table.where(request.where))
    if not len(kept):
        raise ValueError(
            f"where: expected a condition that some of the {len(table)} rows meet; "
            f"{request.where!r} meets none"
        )
    return kept


def data_of(law: Law, request: Request, table: Table) -> Data:
    """The rows of a table as numbers for one law.

    Raises:
        ValueError: a column is missing or unusable, rows cannot be compared, or `holdout` sets none
            or all of them aside.
    """
    given = request.expressions()
    wanted = {name: _source(name, law, given, table) for name in (*law.columns, law.response)}
    check_comparable(table, law, {column for each in wanted.values() for column in each.names})
    others = {name: each for name, each in given.items() if name not in wanted}
    positive = {name for group in law.unit_groups for name in group} | {law.response}
    x = table.numbers({**others, **wanted}, positive | set(others))
    loss_M = x.pop(law.response)
    group_M = None
    if request.group is not None:
        if request.group not in table.columns:
            raise ValueError(
                f"group: there is no column {request.group}; there are {', '.join(table.columns)}"
            )
        group_M = table.columns[request.group].text_M.astype(str)
    return Data(x, loss_M, _held(request, table), group_M)


def parse_target(text: str) -> dict[str, float]:
    """The columns of a run to predict, of `N=7e10,D=1.4e12`.

    Raises:
        ValueError: a part is no NAME=NUMBER.
    """
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f"predict: expected NAME=NUMBER between commas; got {text!r}") from None


def is_given(name: str, given: Mapping[str, Expression], table: Table) -> bool:
    """Whether a law's column can be made from the table."""
    return name in given or name in table.columns


def _source(name: str, law: Law, given: Mapping[str, Expression], table: Table) -> Expression:
    if not is_given(name, given, table):
        what = "what it predicts" if name == law.response else "a column"
        raise ValueError(
            f"columns: {law.name} needs {name}, {what}; say which it is, as with --columns "
            f"{name}=COLUMN; there are {', '.join(table.columns)}"
        )
    return given.get(name) or parse(f"`{name}`")


def _held(request: Request, table: Table) -> ndarray:
    if request.holdout is None:
        return np.zeros(len(table), bool)
    held_M = table.where(request.holdout)
    if held_M.all() or not held_M.any():
        raise ValueError(
            f"holdout: expected a condition that sets some rows aside and leaves others; "
            f"{request.holdout!r} sets aside {held_M.sum()} of {len(table)}"
        )
    return held_M
