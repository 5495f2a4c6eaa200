"""The answer to a request: a law fitted to a table of runs, judged, and asked for predictions.

1. The law is fitted to the rows that are not held out. `auto` first compares all laws whose columns
   are given, each on the largest tenth of these rows, fitted without them, and takes the one that
   errs least.
2. It is judged on the rows held out; where none are, on that largest tenth.
3. Coefficients and targets get intervals (`drawn.py`).

Axes: M runs, R resamples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.bootstrap import resample
from windtunnel.scaling.compare import Score, held_out_score, largest, score
from windtunnel.scaling.cost import cost, next_runs, train_flops
from windtunnel.scaling.drawn import DEFAULT_RESAMPLES, Drawn, draw, n_resamples
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.interval import check_settings
from windtunnel.scaling.laws import by_name, listing
from windtunnel.scaling.optimum import parametric
from windtunnel.scaling.rates import knowing, with_areas
from windtunnel.scaling.request import Data, Request, data_of, is_given, taken
from windtunnel.scaling.table import Table

AUTO = "auto"
N_CANDIDATES = 20  # sizes of a next run that are tried along each column
N_CURVE = 60  # points of a curve that a figure draws


@dataclass(frozen=True)
class Answer:
    """What was found, in values that JSON can hold; and what a figure needs besides."""

    values: dict[str, Any]
    drawing: dict[str, Any]


def answer(request: Request, table: Table, done: Callable[[int], None] = lambda _: None) -> Answer:
    """Fits, judges and predicts; `done` is told of every few refits of a bootstrap.

    Raises:
        ValueError: the request or the table is unusable; the message says what to do.
    """
    check_settings(request.level, "bootstrap_residual", n_resamples(request), 1)
    rows = taken(request, table)
    schedules: tuple[ndarray, ...] = ()
    if request.curves is not None:
        rows, schedules = with_areas(rows, request.columns, request.curves)
    law, ranking = (
        choose(request, rows, schedules) if request.law == AUTO else (by_name(request.law), [])
    )
    law = knowing(law, schedules)
    data = data_of(law, request, rows)
    own = data.fitted()
    settings: dict[str, Any] = {"loss_kind": request.loss_kind, "delta": request.delta}
    fitted = fit(law, own.x, own.loss_M, **settings)
    judged, judged_on, words = _judged(fitted, data, settings)
    if ranking and not data.held_M.any():
        words.append(
            "the same rows chose the law and judged it, so its held-out error flatters: hold "
            "others out to judge it"
        )
    drawn = draw(fitted, own, request, done)
    predictions = [_prediction(drawn, own, target) for target in request.targets]
    values = {
        "law": law.name,
        "formula": law.formula,
        "response": law.response,
        "columns": request.columns,
        "where": request.where,
        "rows": {"read": len(table), "taken": len(rows), "fitted": len(own.loss_M)},
        "parameters": _parameters(drawn),
        "objective": fitted.value,
        "loss_kind": request.loss_kind,
        "delta": request.delta,
        "rms_log": fitted.rms_log,
        "holdout": None if judged is None else {**asdict(judged), "on": judged_on},
        "level": request.level,
        "intervals": drawn.how,
        "predictions": predictions,
        "optimum": [_optimum(drawn, own, flops) for flops in request.budgets],
        "laws": ranking,
        "starts": asdict(fitted.starts),
        "warnings": [*fitted.warnings, *words, *drawn.words(own)],
    }
    return Answer(plain(values), _drawing(drawn, data))


def choose(
    request: Request, table: Table, schedules: tuple[ndarray, ...] = ()
) -> tuple[Law, list[dict[str, Any]]]:
    """The law that predicts the largest rows best from the others, and how all of them did.

    Raises:
        ValueError: no law can be fitted.
    """
    given = request.expressions()
    ranking = []
    for law in (knowing(each, schedules) for each in listing()):
        if not all(is_given(name, given, table) for name in (*law.columns, law.response)):
            continue
        line: dict[str, Any] = {"law": law.name, "mape": None, "max_error": None, "why_not": None}
        try:
            own = data_of(law, request, table).fitted()
            held_M = largest(law, own.x)
            found = held_out_score(
                law, own.x, own.loss_M, held_M, loss_kind=request.loss_kind, delta=request.delta
            )
            line |= {"mape": found.mape, "max_error": found.max_error}
        except ValueError as error:
            line["why_not"] = str(error)
        ranking.append(line)
    ranking.sort(key=lambda line: (line["mape"] is None, line["mape"]))
    if not ranking or ranking[0]["mape"] is None:
        reasons = "; ".join(f"{line['law']}: {line['why_not']}" for line in ranking)
        raise ValueError(
            "law: auto found none that can be fitted; " + (reasons or "none has all its columns")
        )
    return by_name(ranking[0]["law"]), ranking


def plain(value: Any) -> Any:
    """The same values for JSON: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _parameters(drawn: Drawn) -> dict[str, Any]:
    ends, fitted, lost = drawn.ends, drawn.fitted, drawn.not_known()
    return {
        coefficient.name: {
            "value": fitted.parameters[coefficient.name],
            "low": ends[coefficient.name].low,
            "high": ends[coefficient.name].high,
            "identified": coefficient.name not in lost,
            "meaning": coefficient.meaning,
        }
        for coefficient in fitted.law.coefficients
    }


def _judged(
    fitted: Fit, data: Data, settings: dict[str, Any]
) -> tuple[Score | None, str, list[str]]:
    """How the law does on rows that it was not fitted to, which rows, and what to say of it."""
    if data.held_M.any():
        held = data.held()
        return score(fitted, held.x, held.loss_M), "the rows held out", []
    held_M = largest(fitted.law, data.x)
    try:
        found = held_out_score(fitted.law, data.x, data.loss_M, held_M, **settings)
    except ValueError as error:
        return None, "", [f"the law was not judged on its largest runs: {error}"]
    return found, "the largest tenth of the sizes, fitted without them", []


def _prediction(drawn: Drawn, own: Data, target: dict[str, float]) -> dict[str, Any]:
    found = drawn.band({name: np.array([value]) for name, value in target.items()})
    loss, low, high = (float(values[0]) for values in found)
    paid = cost(own.x, target, 1, 0.0)
    return {
        "inputs": target,
        "loss": loss,
        "low": low,
        "high": high,
        "cost": None if paid is None else asdict(paid),
        "next_run": _next_run(drawn, own, target),
    }


def _next_run(drawn: Drawn, own: Data, target: dict[str, float]) -> dict[str, Any] | None:
    """The run that shrinks the target's interval most for the FLOPs of the ladder so far."""
    law, spent = drawn.fitted.law, train_flops(own.x)
    sizes = [name for name in law.columns if name in ("N", "D", "C")]
    if drawn.how is None or spent is None or train_flops(target) is None or not sizes:
        return None
    lines = {
        name: np.geomspace(own.x[name].min(), max(own.x[name].max(), target[name]), N_CANDIDATES)
        for name in sizes
    }
    grid = np.array(list(itertools.product(*lines.values()))).T
    columns = {name: np.full(grid.shape[1], value) for name, value in target.items()}
    columns |= dict(zip(sizes, grid, strict=True))
    flops_K = train_flops(columns)
    assert flops_K is not None  # the target tells its FLOPs
    found = next_runs(drawn.fitted, target, columns, flops_K, float(spent.sum()), 1)
    return asdict(found[0]) if found else None


def _optimum(drawn: Drawn, own: Data, flops: float) -> dict[str, float]:
    refits = drawn.refits
    if refits is None:
        rng = np.random.default_rng(drawn.request.seed)
        refits = resample(drawn.fitted, "residual", DEFAULT_RESAMPLES, rng)
    found = parametric(drawn.fitted, refits, flops, drawn.request.level)
    return {**asdict(found), "D_low": found.D_low, "D_high": found.D_high}


def _drawing(drawn: Drawn, data: Data) -> dict[str, Any]:
    """Points, what the law says of them, and the curve where the law has one column."""
    law = drawn.fitted.law
    drawing: dict[str, Any] = {
        "columns": list(law.columns),
        "x": {name: data.x[name].tolist() for name in law.columns},
        "loss": data.loss_M.tolist(),
        "held": data.held_M.tolist(),
        "predicted": drawn.fitted.predict(data.x).tolist(),
        "band": None,
    }
    if len(law.columns) == 1:
        (name,) = law.columns
        ends = [*data.x[name], *(target[name] for target in drawn.request.targets)]
        line_M = np.geomspace(min(ends), max(ends), N_CURVE)
        curve = drawn.band({name: line_M})
        parts = {"loss": curve.loss_M, "low": curve.low_M, "high": curve.high_M}
        drawing["band"] = {"x": line_M.tolist()} | {k: v.tolist() for k, v in parts.items()}
    return drawing
