"""How one of several designs stands: its trials, its ladder, and the reference beside it.

    sensitivity = mean over rates of [min(loss, loss_0) - loss_best],  loss_0: before training

Source: Wortsman et al. 2023, arXiv 2309.14322, section 2.2 (sensitivity); the comparison at the
target: `scaling.designs`. Runs are paired by width and seed: they saw the same tokens.

Axes: M runs, K sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from windtunnel.interfaces import Law
from windtunnel.scaling.designs import compare_designs, paired
from windtunnel.scaling.fit import Fit
from windtunnel.studies.forecast import fit_rows, forecast
from windtunnel.studies.members import Row, by, mean_loss
from windtunnel.studies.method import Method
from windtunnel.studies.noise import pooled_sd
from windtunnel.studies.transfer import sensitivity

N_SIZES = 64  # at which a crossing is looked for, and which a figure draws


@dataclass(frozen=True)
class Ladder:
    """One design's ladder: what is said of it, its runs, and the law fitted to them, if any."""

    values: dict[str, Any]
    rows: Sequence[Row]
    fitted: Fit | None


def trials(rows: Sequence[Row], loss_0: float | None) -> dict[str, Any]:
    """Loss against learning rate, the best rate, and how much the rate matters.

    Args:
        rows: trials with `lr` and `loss`; a rate at which one seed left no loss is no candidate.
        loss_0: loss in nats before training, which caps that of a diverged trial.
    """
    rates = by(rows, "lr")
    means = [mean_loss(own) if all(line["loss"] is not None for line in own) else None
             for own in rates.values()]  # fmt: skip
    known = [loss for loss in means if loss is not None]
    best = means.index(min(known)) if known else None
    return {
        "lrs": list(rates),
        "losses": means,
        "best_lr": None if best is None else list(rates)[best],
        "on_edge": best in (0, len(means) - 1),
        "sensitivity": sensitivity(means, loss_0) if known and loss_0 is not None else None,
        "n_lost": sum(line["loss"] is None for line in rows),
    }


def climb(rows: Sequence[Row], target_n: int | None, law: Law, method: Method) -> Ladder:
    """What a ladder shows at its widths, and what it predicts for the target.

    Args:
        rows: usable members with `n`, `width`, `seed`, `loss` and `seconds`.
        target_n: parameters of the target, None where they are not known.
        law: what is fitted.
        method: how to fit and draw intervals.
    """
    values: dict[str, Any] = {
        "widths": {str(width): _of_width(own) for width, own in by(rows, "width").items()},
        "seed_sd": pooled_sd([[x["loss"] for x in own] for own in by(rows, "width").values()]),
        "parameters": None,
        "prediction": None,
        "band": None,
        "warnings": [],
    }
    if target_n is None or len(values["widths"]) <= len(law.coefficients):
        words = f"{len(values['widths'])} widths hold a loss, too few to predict the target"
        return Ladder(values | {"warnings": [words]}, rows, None)
    fitted = fit_rows(rows, law, method)
    found = forecast(fitted, rows, target_n, method, n_seeds=len(by(rows, "seed")))
    size_K = _sizes([fitted], target_n)
    values |= {name: found[name] for name in ("parameters", "prediction", "warnings")}
    values["band"] = {"n": size_K.tolist(), "loss": fitted.predict({"N": size_K}).tolist()}
    return Ladder(values, rows, fitted)


def against(
    ladder: Ladder, reference: Ladder, target_n: int, method: Method
) -> dict[str, Any] | None:
    """Loss of a design less that of the reference at the target, the probability that it is lower,
    and where the curves cross; None where one of them was not fitted."""
    if ladder.fitted is None or reference.fitted is None:
        return None
    keys = [[(line["width"], line["seed"]) for line in each.rows] for each in (ladder, reference)]
    verdict = compare_designs(
        ladder.fitted,
        reference.fitted,
        paired(*keys),
        {"N": float(target_n)},
        {"N": _sizes([ladder.fitted, reference.fitted], target_n)},
        "N",
        level=method.level,
        n_resamples=method.n_resamples,
        rng=np.random.default_rng(method.seed),
    )
    return asdict(verdict)


def _of_width(rows: Sequence[Row]) -> dict[str, Any]:
    """Loss and cost at one width, as means over seeds."""
    return {
        "n": rows[0]["n"],
        "loss": mean_loss(rows),
        "sd": pooled_sd([[line["loss"] for line in rows]]),
        "seeds": len(rows),
        "seconds": math.fsum(line["seconds"] for line in rows) / len(rows),
    }


def _sizes(fits: Sequence[Fit], target_n: int) -> np.ndarray:
    """From the smallest run to the target [K]."""
    smallest = min(fit.points.x["N"].min() for fit in fits)
    return np.geomspace(smallest, float(target_n), N_SIZES)
