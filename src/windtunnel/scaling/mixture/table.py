"""Mixtures and the losses that they gave, from a pair of tables.

Both are CSV files with a row per run. A column `index`, where both have it, says which rows belong
together; otherwise rows belong together by their place. All other columns of the first table are
domains, whose weights sum to one up to `SLACK` in each row; the second holds losses in nats.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from windtunnel.scaling.suggest import nearest
from windtunnel.scaling.table import SHOWN, Table, read_table

KEY = "index"
SLACK = 0.01  # weights rounded to three digits miss one by so much


@dataclass(frozen=True)
class Mixtures:
    """Names of the domains, weights [M, S], and losses in nats [M]."""

    domains: tuple[str, ...]
    weights_MS: ndarray
    loss_M: ndarray


def read_mixtures(mixtures: Path, losses: Path, target: str) -> Mixtures:
    """The weights of one table and the column `target` of the other, row by row.

    Raises:
        ValueError: a table is of no use, or the two do not belong together.
    """
    first, second = read_table(mixtures), read_table(losses)
    domains = tuple(name for name in first.columns if name != KEY)
    if len(domains) < 2:
        raise ValueError(
            f"{mixtures}: expected a column of weights for each of two domains or more; got "
            f"{', '.join(domains) or 'none'}"
        )
    weights_MS = np.column_stack([_numbers(first, name, mixtures) for name in domains])
    _check_weights(weights_MS, first, mixtures)
    rows = _rows(first, second, mixtures, losses)
    return Mixtures(domains, weights_MS, _losses(second, target, losses)[rows])


def same_domains(fitted: Mixtures, test: Mixtures) -> Mixtures:
    """The test mixtures with their domains in the order of the fitted ones.

    Raises:
        ValueError: they are of other domains.
    """
    if set(fitted.domains) != set(test.domains):
        lacking = sorted(set(fitted.domains) - set(test.domains))
        beyond = sorted(set(test.domains) - set(fitted.domains))
        raise ValueError(
            "test: expected the domains that were fitted; the test mixtures lack "
            f"{', '.join(lacking) or 'none'} and have besides {', '.join(beyond) or 'none'}: "
            "give tables with the same columns"
        )
    order = [test.domains.index(name) for name in fitted.domains]
    return Mixtures(fitted.domains, test.weights_MS[:, order], test.loss_M)


def _losses(table: Table, target: str, path: Path) -> ndarray:
    if target not in table.columns:
        names = [name for name in table.columns if name != KEY]
        raise ValueError(
            f"target: expected a column of {path}, got {target!r}; {nearest(target, names)}"
        )
    return _numbers(table, target, path)


def _numbers(table: Table, name: str, path: Path) -> ndarray:
    cells = table.columns[name]
    bad = np.flatnonzero(~np.isfinite(cells.number_M))
    if len(bad):
        raise ValueError(
            f"{path}: column {name}: expected finite numbers, got "
            f"{_shown(table, bad, [repr(cells.text_M[row]) for row in bad])}; mend these rows or "
            f"leave them out (a column that is no number may only be called {KEY})"
        )
    return cells.number_M


def _check_weights(weights_MS: ndarray, table: Table, path: Path) -> None:
    below = np.flatnonzero((weights_MS < 0).any(1))
    if len(below):
        raise ValueError(
            f"{path}: expected weights from 0 up, got one below 0 in "
            f"{_shown(table, below, [f'{w:g}' for w in weights_MS[below].min(1)])}"
        )
    sum_M = weights_MS.sum(1)
    off = np.flatnonzero(np.abs(sum_M - 1) > SLACK)
    if len(off):
        raise ValueError(
            f"{path}: expected weights that sum to 1 in each row, got "
            f"{_shown(table, off, [f'{total:g}' for total in sum_M[off]])}: give shares of the "
            f"tokens, and call a column that is no weight {KEY}"
        )


def _rows(first: Table, second: Table, mixtures: Path, losses: Path) -> ndarray:
    """Which row of the second table belongs to each row of the first."""
    if len(first) != len(second):
        raise ValueError(
            f"{losses}: expected {len(first)} rows, as {mixtures} has; got {len(second)}"
        )
    if KEY not in first.columns or KEY not in second.columns:
        return np.arange(len(first))
    keys = [table.columns[KEY].text_M.tolist() for table in (first, second)]
    place = {key: row for row, key in enumerate(keys[1])}
    unmatched = sorted(set(keys[0]) ^ set(keys[1]))
    if unmatched or len(place) < len(first):
        twice = sorted({key for own in keys for key in own if own.count(key) > 1})
        said = f"in one table alone: {', '.join(unmatched[:SHOWN])}" if unmatched else ""
        said = said or f"more than once: {', '.join(twice[:SHOWN])}"
        raise ValueError(
            f"{losses}: expected the same {KEY} values as in {mixtures}, each once; got {said}; "
            f"rows that belong together by place need no column {KEY}"
        )
    return np.array([place[key] for key in keys[0]])


def _shown(table: Table, rows: ndarray, values: list[str]) -> str:
    cells = [f"{table.names[row]} ({value})" for row, value in zip(rows, values, strict=True)]
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{', '.join(cells[:SHOWN])}{more}"
