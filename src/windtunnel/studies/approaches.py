"""Three ways from the same runs to the model size with the lowest loss for a budget of FLOPs.

Source: Hoffmann et al. 2022, arXiv 2203.15556, sections 3.1 to 3.3.

Axes: M points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from windtunnel.scaling.bootstrap import resample
from windtunnel.scaling.envelope import envelope
from windtunnel.scaling.isoflop import isoflop
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.optimum import FLOPS_FACTOR, Frontier, Optimum, parametric
from windtunnel.studies.members import Row
from windtunnel.studies.method import Method

ENVELOPE, PARABOLAS, LAW = "1: envelope of curves", "2: parabola per budget", "3: joint law"


def approaches(
    rows: Sequence[Row], target_flops: float, method: Method, *, budgets_flops: Sequence[float]
) -> dict[str, Any]:
    """What each approach says of the best size at every budget and at the target.

    Args:
        rows: usable members with `n`, `tokens`, `loss`, `budget_flops` and `curve`.
        target_flops: the budget to extrapolate to.
        method: how to fit and draw intervals.
        budgets_flops: the budgets of the runs.

    Returns:
        `approaches`, by name: exponent of N* in C, best size of each budget, best size and tokens
        of the target with interval; or, for one that found nothing, None with a warning that says
        why. `law`: the coefficients of the joint law.
    """
    found: dict[str, Any] = {"approaches": {}, "law": None, "warnings": []}
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        ENVELOPE: lambda: _frontier(_envelope(rows, method), target_flops, method.level),
        PARABOLAS: lambda: _frontier(_parabolas(rows, method), target_flops, method.level),
        LAW: lambda: _law(rows, target_flops, method, budgets_flops),
    }
    for name, way in ways.items():
        try:
            found["approaches"][name] = way()
        except ValueError as error:
            found["approaches"][name] = None
            found["warnings"].append(f"approach {name}: {error}")
        else:
            found["warnings"] += found["approaches"][name].pop("warnings")
    law = found["approaches"][LAW]
    return found | {"law": None if law is None else law.pop("parameters")}


def _envelope(rows: Sequence[Row], method: Method) -> Frontier:
    points = [
        (line["job"], line["n"], FLOPS_FACTOR * line["n"] * tokens, loss)
        for line in rows
        for tokens, loss in zip(line["curve"]["tokens"], line["curve"]["loss"], strict=True)
    ]
    if not points:
        raise ValueError("no run left a curve: raise budget.evaluations")
    job_M, n_M, flops_M, loss_M = (np.array(values) for values in zip(*points, strict=True))
    rng = np.random.default_rng(method.seed)
    return envelope(job_M, n_M.astype(float), flops_M, loss_M, method.n_resamples, rng)


def _parabolas(rows: Sequence[Row], method: Method) -> Frontier:
    rng = np.random.default_rng(method.seed)
    flops_M, n_M, loss_M = (_column(rows, key) for key in ("budget_flops", "n", "loss"))
    return isoflop(flops_M, n_M, loss_M, method.n_resamples, rng)


def _frontier(frontier: Frontier, target_flops: float, level: float) -> dict[str, Any]:
    best = zip(frontier.flops_K.tolist(), frontier.N_K.tolist(), strict=True)
    # Thinned, since the envelope has a point at each of very many budgets.
    points = list(best)[:: max(1, len(frontier.flops_K) // 50)]
    return {
        "exponent": frontier.exponent,
        "points": [{"flops": flops, "n": n} for flops, n in points],
        "target": _told(frontier.optimum(target_flops, level)),
        "warnings": list(frontier.left_out),
    }


def _law(
    rows: Sequence[Row], target_flops: float, method: Method, budgets_flops: Sequence[float]
) -> dict[str, Any]:
    x = {"N": _column(rows, "n"), "D": _column(rows, "tokens")}
    fitted = method.fit(by_name("chinchilla"), x, _column(rows, "loss"))
    drawn = resample(fitted, "residual", method.n_resamples, np.random.default_rng(method.seed))
    optima = [parametric(fitted, drawn, flops, method.level) for flops in budgets_flops]
    theta = fitted.parameters
    return {
        "exponent": theta["beta"] / (theta["alpha"] + theta["beta"]),
        "points": [{"flops": one.flops, "n": one.N} for one in optima],
        "target": _told(parametric(fitted, drawn, target_flops, method.level)),
        "parameters": dict(theta),
        "warnings": list(fitted.warnings),
    }


def _told(optimum: Optimum) -> dict[str, float | None]:
    """In values that JSON can hold."""
    values = {
        "flops": optimum.flops,
        "n": optimum.N,
        "low": optimum.N_low,
        "high": optimum.N_high,
        "tokens": optimum.D,
    }
    return {key: value if np.isfinite(value) else None for key, value in values.items()}


def _column(rows: Sequence[Row], key: str) -> np.ndarray:
    return np.array([line[key] for line in rows], float)
