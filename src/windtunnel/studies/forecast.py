"""What a law fitted on small models says about a larger one, before that one is trained.

The prediction is the law at the target's N, with a prediction interval: it holds the seed noise of
the target beside the uncertainty of the coefficients. Two baselines stand beside it: the loss of
the largest fitted model, copied; and a power law without a constant, L = a N^b. How well the law
predicts the largest fitted model from the others is said as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.interfaces import Law
from windtunnel.scaling.fit import Fit
from windtunnel.scaling.noise import Noise
from windtunnel.studies.members import Row, by
from windtunnel.studies.method import Method

N_BAND = 24  # points of the curve that a figure draws


def forecasts(
    rows: Sequence[Row],
    target_n: int,
    law: Law,
    method: Method,
    *,
    n_seeds: int,
    replicates: int,
) -> dict[str, Any]:
    """Predicts the loss at `target_n` from all ladders together, and from each alone.

    Args:
        rows: usable members, each with `n`, `width`, `ladder` (which seed of the study it belongs
            to) and `loss`.
        target_n: parameters of the target, in the convention of `n`.
        law: what is fitted; the members have more widths than it has coefficients.
        method: how to fit and draw intervals.
        n_seeds: over how many seeds the target's loss will be averaged.
        replicates: runs of each width in one ladder.

    Returns:
        `pooled` and `per_seed`, in values that JSON can hold. A ladder alone leaves few degrees of
        freedom for its noise, so its interval takes the noise of all; what it would have claimed by
        itself is `alone`. With one seed, or too few widths of it, there is none.
    """
    fitted = fit_rows(rows, law, method)
    pooled = forecast(fitted, rows, target_n, method, n_seeds=n_seeds)
    smallest = min(line["n"] for line in rows)
    pooled["band"] = band(fitted, np.geomspace(smallest, target_n, N_BAND), method)
    per_seed = {}
    for seed, own in by(rows, "ladder").items():
        if n_seeds > 1 and len(by(own, "width")) > len(law.coefficients):
            alone = fit_rows(own, law, method)
            shared = replace(alone, noise=of_one_ladder(fitted.noise, replicates))
            found = forecast(shared, own, target_n, method, n_seeds=1)
            claim = method.predict(alone, {"N": float(target_n)}, 1)
            per_seed[str(seed)] = found | {"alone": {"low": claim.low, "high": claim.high}}
    return {"pooled": pooled, "per_seed": per_seed}


def fit_rows(rows: Sequence[Row], law: Law, method: Method) -> Fit:
    """Fits a law of N to usable rows."""
    n_M, loss_M = columns(rows)
    return method.fit(law, {"N": n_M}, loss_M)


def columns(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes [M] and losses in nats [M]."""
    sizes, losses = [line["n"] for line in rows], [line["loss"] for line in rows]
    return np.array(sizes, float), np.array(losses, float)


def of_one_ladder(noise: Noise, replicates: int) -> Noise:
    """The same noise as seen by a fit that has `replicates` runs of each size.

    One run of each size cannot tell its seed from what the law misses, so both become one.
    """
    total = noise.within + noise.between * replicates
    kept = replace(noise, mean_square=total, runs_per_design=float(replicates))
    return kept if replicates > 1 else replace(kept, within=total, between=0.0, source="pooled")


def forecast(
    fitted: Fit, rows: Sequence[Row], target_n: int, method: Method, *, n_seeds: int
) -> dict[str, Any]:
    """What one fit to `rows` says about `target_n`, as the mean over `n_seeds`."""
    n_M, loss_M = columns(rows)
    predicted = method.predict(fitted, {"N": float(target_n)}, n_seeds)
    residual_M = loss_M - fitted.predict({"N": n_M})
    freedom = len(rows) - len(fitted.law.coefficients)
    return {
        "parameters": dict(fitted.parameters),
        "prediction": {"loss": predicted.loss, "low": predicted.low, "high": predicted.high},
        "residual_sd": math.sqrt(float(residual_M @ residual_M) / freedom),
        "baselines": method.baselines({"N": n_M}, loss_M, {"N": float(target_n)}),
        "leave_largest_out": method.leave_largest_out(fitted.law, {"N": n_M}, loss_M),
        "fitted": [line["job"] for line in rows],
        "warnings": [*fitted.warnings, *predicted.warnings],
    }


def band(fitted: Fit, n_M: np.ndarray, method: Method) -> dict[str, list[float]]:
    """The curve and the interval of one run at each size, for a figure."""
    drawn = method.band(fitted, {"N": n_M})
    return {
        "n": n_M.tolist(),
        "loss": drawn.loss_M.tolist(),
        "low": drawn.low_M.tolist(),
        "high": drawn.high_M.tolist(),
    }


def relative_error(predicted: float, actual: float) -> float:
    """(predicted - actual) / actual."""
    return (predicted - actual) / actual


def share(rows: Sequence[Row], target: Sequence[Row], column: str) -> float | None:
    """Cost of the ladder over that of the target, or None where the target cost nothing yet."""
    cost = math.fsum(line.get(column, 0.0) for line in target)
    return math.fsum(line.get(column, 0.0) for line in rows) / cost if cost else None


def compare(
    forecast: Mapping[str, Any], actual: float, largest: float, seed_sd: float
) -> dict[str, Any]:
    """Sets a forecast beside what came: error, gap, and whether each demand holds.

    Args:
        forecast: what `forecast` returned.
        actual: held-out loss of the target in nats per token.
        largest: held-out loss of the largest fitted model in nats per token.
        seed_sd: standard deviation over seeds in nats per token.
    """
    predicted = forecast["prediction"]
    error = relative_error(predicted["loss"], actual)
    gap = largest - actual
    rivals = {
        name: {"loss": loss, "error": relative_error(loss, actual)}
        for name, loss in forecast["baselines"].items()
    }
    width = predicted["high"] - predicted["low"]
    checks = {
        "error at most a quarter of the gap": abs(error) * actual <= gap / 4,
        "error at most 1 %": abs(error) <= 0.01,
        **{
            f"error below {name.replace('_', ' ')}": abs(error) < abs(rival["error"])
            for name, rival in rivals.items()
        },
        "actual inside the interval": predicted["low"] <= actual <= predicted["high"],
        "interval no wider than the gap": width <= gap,
        "gap at least five seed deviations": gap >= 5 * seed_sd,
    }
    return {
        "actual": actual,
        "error": error,
        "gap": gap,
        "baselines": rivals,
        "inside": predicted["low"] <= actual <= predicted["high"],
        "checks": checks,
    }
