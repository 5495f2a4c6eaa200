"""The runs that a law is fitted to, checked before any work is done.

Axes: M runs, C columns, k distinct designs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law


@dataclass(frozen=True)
class Points:
    """Runs of which each has columns [M], a loss in nats [M], a weight [M], and the index of its
    design [M]: runs with the same columns share one."""

    x: dict[str, ndarray]
    loss_M: ndarray
    weights_M: ndarray
    design_M: ndarray


def columns_of(law: Law, x: Mapping[str, ndarray | float]) -> dict[str, ndarray]:
    """The columns that the law needs, as arrays [M].

    Raises:
        ValueError: one is missing, or holds something other than finite numbers, above 0 where it
            has a unit.
    """
    positive = {name for group in law.unit_groups for name in group}
    columns = {}
    for name in law.columns:
        if name not in x:
            raise ValueError(f"column {name}: the law needs it; there are {', '.join(x) or 'none'}")
        columns[name] = np.atleast_1d(np.asarray(x[name], float))
        if name in positive:
            _check_positive(f"column {name}", columns[name])
        elif not np.isfinite(columns[name]).all():
            bad = np.flatnonzero(~np.isfinite(columns[name])).tolist()
            raise ValueError(
                f"column {name}: expected finite numbers; got others in rows {bad}: leave them out"
            )
    return columns


def units_of(law: Law, columns: Mapping[str, ndarray]) -> dict[str, float]:
    """The geometric mean of each group of columns that share a unit; 1 for those without one."""
    units = dict.fromkeys(law.columns, 1.0)
    for group in law.unit_groups:
        mean = np.mean([np.log(columns[name]).mean() for name in group])
        units |= dict.fromkeys(group, float(np.exp(mean)))
    return units


def check_points(
    law: Law, x: Mapping[str, ndarray], loss: ndarray, weights: ndarray | None
) -> Points:
    """The runs as arrays, usable by `law`.

    Raises:
        ValueError: a column is missing or unusable, or there are too few designs.
    """
    columns = columns_of(law, x)
    loss_M = np.atleast_1d(np.asarray(loss, float))
    weights_M = np.ones_like(loss_M) if weights is None else np.asarray(weights, float)
    lengths = {**{f"column {c}": v.size for c, v in columns.items()}, "weights": weights_M.size}
    for name, length in lengths.items():
        if length != len(loss_M):
            raise ValueError(f"{name}: expected {len(loss_M)} values, one per loss; got {length}")
    _check_positive("loss", loss_M)
    _check_positive("weights", weights_M)
    table_MC = np.stack(list(columns.values()), axis=1)
    designs_kC, design_M = np.unique(table_MC, axis=0, return_inverse=True)
    if len(designs_kC) < len(law.coefficients):
        raise ValueError(
            f"{law.name}: expected at least {len(law.coefficients)} different "
            f"{'/'.join(law.columns)}, one per coefficient; got {len(designs_kC)}: add runs, or "
            "fit a law with fewer coefficients"
        )
    for name, values_M in columns.items():
        if np.all(values_M == values_M[0]):
            raise ValueError(
                f"column {name}: expected values that differ; all runs have {values_M[0]:g}: "
                "vary it, or fit a law without it"
            )
    return Points(columns, loss_M, weights_M, design_M)


def _check_positive(name: str, values_M: ndarray) -> None:
    bad_M = ~(np.isfinite(values_M) & (values_M > 0))
    if bad_M.any():
        raise ValueError(
            f"{name}: expected finite numbers above 0; rows {np.flatnonzero(bad_M).tolist()} hold "
            f"{values_M[bad_M].tolist()}: leave them out"
        )
