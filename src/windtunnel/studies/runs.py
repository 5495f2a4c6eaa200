"""Runs of several variants set beside each other, seed by seed.

    d_s = a_s - b_s over the seeds s of both,   mean(d) +- t sd(d) / sqrt(n)

with t the quantile of Student's law with n - 1 degrees of freedom: runs that share a seed share
their tokens and draws, so that d varies less than a and b do.

Source: Student's paired test (textbook).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from windtunnel.interfaces import Curve, Job, Record
from windtunnel.studies.members import Row, held_out_loss
from windtunnel.studies.noise import pooled_sd

Difference = dict[str, Any]


def check_variants(variants: Mapping[str, Mapping[str, Any]], own: Collection[str]) -> None:
    """Refuses too few variants, names that are no folder's, and keys that the study sets itself."""
    if len(variants) < 2:
        raise ValueError(
            f"study.variants must hold at least 2 variants to compare; got {list(variants)}: give "
            "each a name and its overrides"
        )
    for name, overrides in variants.items():
        if not re.fullmatch(r"\w+", name):
            raise ValueError(
                f"study.variants: a name may hold letters, digits and _, since folders are called "
                f"by it; got {name!r}: rename it"
            )
        for key in own:
            if key in overrides:
                raise ValueError(
                    f"study.variants.{name}: {key} is set by the study for each of its jobs; leave "
                    "it out"
                )


def check_level(level: float) -> None:
    """Refuses an interval that claims nothing or all."""
    if not 0 < level < 1:
        raise ValueError(f"study.level must lie between 0 and 1; got {level}: 0.95 is usual")


def row(job: Job, record: Record | None, **facts: Any) -> Row:
    """One line of a study's table: what the job was, and what it left."""
    line: Row = {
        "job": job.name,
        "role": job.role,
        **facts,
        "seed": job.overrides["seed"],
        "outcome": "missing" if record is None else record.outcome,
        "loss": held_out_loss(record),
    }
    if record is None:
        return line
    return line | {
        "outcome_step": record.outcome_step,
        "tokens": record.tokens,
        "seconds": record.seconds,
    }


def by_seed(rows: Iterable[Row], key: str = "loss") -> dict[int, float]:
    """A figure of every run that has it."""
    return {line["seed"]: line[key] for line in rows if line.get(key) is not None}


def summary(values: Mapping[int, float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds, None where there are too few."""
    known = list(values.values())
    mean = math.fsum(known) / len(known) if known else None
    return {"mean": mean, "sd": pooled_sd([known]), "seeds": len(known)}


def difference(
    own: Mapping[int, float], other: Mapping[int, float], level: float
) -> Difference | None:
    """Mean of `own` less `other` over their common seeds, with its interval; None without any."""
    seeds = sorted(own.keys() & other.keys())
    if not seeds:
        return None
    d = [own[seed] - other[seed] for seed in seeds]
    mean, sd, n = math.fsum(d) / len(d), pooled_sd([d]), len(d)
    half = None if sd is None else float(stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return {
        "mean": mean,
        "sd": sd,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "values": d,
    }


def sign(found: Difference | None) -> int:
    """1 or -1 where the interval lies above or below 0; else 0."""
    if found is None or found["low"] is None:
        return 0
    return (found["low"] > 0) - (found["high"] < 0)


def mean_curve(curves: Sequence[Curve]) -> dict[str, list[float] | list[int]]:
    """Mean and standard deviation of the held-out loss over runs, at each evaluation."""
    if not curves:
        return {"tokens": [], "loss": [], "sd": []}
    n_points = min(len(curve.values) for curve in curves)
    losses = np.array([curve.values[:n_points] for curve in curves])
    deviations = losses.std(0, ddof=1) if len(curves) > 1 else np.zeros(n_points)
    return {
        "tokens": list(curves[0].tokens[:n_points]),
        "loss": losses.mean(0).tolist(),
        "sd": deviations.tolist(),
    }
