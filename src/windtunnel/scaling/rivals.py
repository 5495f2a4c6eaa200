"""Two tables of runs, one law, one target: which design will be better there.

Both designs get the same law, fitted by itself to the rows of each; `designs.py` compares the two
curves. Runs are paired by the columns that `pair` names, such as seed and width.

Axes: K sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.answer import AUTO, Answer, plain
from windtunnel.scaling.designs import compare_designs, paired
from windtunnel.scaling.drawn import n_resamples
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.interval import check_settings, predict
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.request import Request, data_of, taken
from windtunnel.scaling.table import Table

N_SIZES = 200  # at which a crossing is looked for


@dataclass(frozen=True)
class Ladder:
    """One design: its name, its table, and the rows of it that the law was fitted to."""

    name: str
    rows: Table
    fitted: Fit


def compare_tables(
    request: Request, tables: Sequence[tuple[str, Table]], pair: Sequence[str]
) -> Answer:
    """Fits one law to each of two tables, and compares them at the request's only target.

    Args:
        request: the law, its columns and the target; `holdout`, `budgets` and `group` are not used.
        tables: the two designs, each with its name.
        pair: columns that tell which runs of the two belong together; none for independent runs.

    Raises:
        ValueError: the request or a table is unusable; the message says what to do.
    """
    check_settings(request.level, "bootstrap_residual", n_resamples(request), 1)
    if request.law == AUTO:
        raise ValueError("law: give the name of one law, which both designs are fitted with")
    if len(request.targets) != 1:
        raise ValueError(
            f"predict: give one target to compare at, N=7e10; got {len(request.targets)}"
        )
    law, target = by_name(request.law), request.targets[0]
    if missing := [name for name in law.columns if name not in target]:
        raise ValueError(f"predict: {law.name} also needs {', '.join(missing)} of the target")
    a, b = (_ladder(name, table, law, request) for name, table in tables)
    pairs = paired(_keys(a.rows, pair), _keys(b.rows, pair)) if pair else []
    along = law.columns[0]
    sizes = _sizes((a, b), law, target, along)
    verdict = compare_designs(
        a.fitted,
        b.fitted,
        pairs,
        {name: target[name] for name in law.columns},
        sizes,
        along,
        level=request.level,
        n_resamples=n_resamples(request),
        rng=np.random.default_rng(request.seed),
    )
    values = {
        "law": law.name,
        "formula": law.formula,
        "target": target,
        "level": request.level,
        "designs": [_described(ladder, request) for ladder in (a, b)],
        **asdict(verdict),
        "along": along,
        "warnings": [f"{each.name}: {words}" for each in (a, b) for words in each.fitted.warnings],
    }
    return Answer(plain(values), _drawing((a, b), sizes, along))


def _ladder(name: str, table: Table, law: Law, request: Request) -> Ladder:
    try:
        rows = taken(request, table)
        data = data_of(law, request, rows)
        kind, delta = request.loss_kind, request.delta
        return Ladder(name, rows, fit(law, data.x, data.loss_M, loss_kind=kind, delta=delta))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _keys(rows: Table, pair: Sequence[str]) -> list[tuple[str, ...]]:
    if missing := [name for name in pair if name not in rows.columns]:
        raise ValueError(
            f"pair: there is no column {', '.join(missing)}; there are {', '.join(rows.columns)}"
        )
    cells = [rows.columns[name].text_M.tolist() for name in pair]
    return list(zip(*cells, strict=True))


def _sizes(
    ladders: Sequence[Ladder], law: Law, target: dict[str, float], along: str
) -> dict[str, ndarray]:
    """From the smallest run of either to the target, the other columns as at the target [K]."""
    seen = np.concatenate([each.fitted.points.x[along] for each in ladders])
    line_K = np.geomspace(seen.min(), max(seen.max(), target[along]), N_SIZES)
    others = {name: np.full(N_SIZES, target[name]) for name in law.columns}
    return {**others, along: line_K}


def _described(ladder: Ladder, request: Request) -> dict[str, Any]:
    fitted, (target,) = ladder.fitted, request.targets
    found = predict(
        fitted,
        {name: target[name] for name in fitted.law.columns},
        level=request.level,
        method="bootstrap_residual",
        n_resamples=n_resamples(request),
        n_target_seeds=1,
        seed=request.seed,
    )
    return {
        "name": ladder.name,
        "runs": len(ladder.rows),
        "parameters": fitted.parameters,
        "rms_log": fitted.rms_log,
        "loss": found.loss,
        "low": found.low,
        "high": found.high,
    }


def _drawing(ladders: Sequence[Ladder], sizes: dict[str, ndarray], along: str) -> dict[str, Any]:
    designs = [
        {
            "x": each.fitted.points.x[along].tolist(),
            "loss": each.fitted.points.loss_M.tolist(),
            "curve": each.fitted.predict(sizes).tolist(),
        }
        for each in ladders
    ]
    return {"along": along, "line": sizes[along].tolist(), "designs": designs}
