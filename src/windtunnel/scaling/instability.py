"""Which size will a training break at? Extrapolates what grows before it, from runs that were fine.

For every learning rate, the logarithm of a quantity is a polynomial in log N over the sizes of a
ladder: a quadratic from four sizes on as in the source, a line from two. A quantity is watched by
two thresholds, one to warn and one beyond which runs of the source were lost:

    attention logit   warn above 1e3, lost above 1e4 (section 3.1 and figures 8 and 9)
    RMS(g) / eps      warn below 10, lost below 1 (section 3.4; the 10 is ours)

The first size at which a threshold is crossed is looked for up to the target, so that the warning
comes before it happens. A quadratic that turns around beyond the ladder is followed no farther than
its turning point: growth was seen, its end was not.

Source: Wortsman et al. 2023, arXiv 2309.14322.

Axes: M runs, K sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

N_SIZES = 400  # at which a crossing is looked for


@dataclass(frozen=True)
class Watched:
    """A quantity, what to call it, and its thresholds; it falls where `lost` is below `warn`."""

    name: str
    warn: float
    lost: float


ATTENTION_LOGIT = Watched("attention logit", warn=1e3, lost=1e4)
GRADIENT_TO_EPS = Watched("RMS(gradient) / eps", warn=10.0, lost=1.0)


@dataclass(frozen=True)
class Run:
    """What one run measured; n: its parameters, lr: its peak rate as the base model has it."""

    n: float
    lr: float
    measurements: Mapping[str, Any]


@dataclass(frozen=True)
class Outlook:
    """What is foreseen at one learning rate.

    predicted: at the target. warn_at, lost_at: first size that crosses a threshold, or None.
    """

    lr: float
    n_sizes: int
    predicted: float
    warn_at: float | None
    lost_at: float | None


def outlooks(
    watched: Watched,
    n_M: Sequence[float],
    lr_M: Sequence[float],
    value_M: Sequence[float],
    target_n: float,
) -> list[Outlook]:
    """One outlook for every learning rate that has two sizes or more, smallest rate first.

    Args:
        watched: what was measured.
        n_M: parameters of every run.
        lr_M: its peak learning rate, as the base model has it.
        value_M: what was measured, above 0; seeds count by the mean of their logarithms.
        target_n: size up to which is looked ahead.

    Raises:
        ValueError: a size, a rate or a value is not above 0, or the target is no larger.
    """
    n, lr, value = (np.asarray(x, float) for x in (n_M, lr_M, value_M))
    for name, column in (("size", n), ("learning rate", lr), (watched.name, value)):
        if not (np.isfinite(column) & (column > 0)).all():
            raise ValueError(
                f"scaling.instability: every {name} must be above 0 and finite, got "
                f"{column.tolist()}: leave out runs that diverged"
            )
    if len(n) and not target_n > n.max():
        raise ValueError(
            f"scaling.instability: the target must be larger than every run, got {target_n:g} and "
            f"runs up to {n.max():g}"
        )
    found = []
    for rate in np.unique(lr):
        own = lr == rate
        sizes_K = np.unique(n[own])
        if len(sizes_K) >= 2:
            logs_K = np.array([np.log(value[own & (n == size)]).mean() for size in sizes_K])
            found.append(_outlook(watched, float(rate), sizes_K, logs_K, target_n))
    return found


def _outlook(watched: Watched, lr: float, n_K: ndarray, log_K: ndarray, target_n: float) -> Outlook:
    # From the smallest size, not the last one: what the ladder itself has crossed counts as well.
    sizes = np.geomspace(n_K[0], target_n, N_SIZES)
    values = np.exp(extrapolate(np.log(n_K), log_K, np.log(sizes)))
    return Outlook(
        lr=lr,
        n_sizes=len(n_K),
        predicted=float(values[-1]),
        warn_at=_first(sizes, values, watched, watched.warn),
        lost_at=_first(sizes, values, watched, watched.lost),
    )


def extrapolate(x_K: ndarray, y_K: ndarray, at: ndarray) -> ndarray:
    """Values of the polynomial through (x, y), held from where it turns around beyond the data."""
    degree = 2 if len(x_K) >= 4 else 1
    polynomial = np.polynomial.Polynomial.fit(x_K, y_K, degree)
    if degree == 2:
        turns = [float(x) for x in polynomial.deriv().roots().real if x > x_K[-1]]
        at = np.minimum(at, min(turns, default=math.inf))
    return polynomial(at)


def _first(sizes: ndarray, values: ndarray, watched: Watched, threshold: float) -> float | None:
    crossed = values > threshold if watched.lost > watched.warn else values < threshold
    return float(sizes[crossed.argmax()]) if crossed.any() else None


def warnings(watched: Watched, found: Sequence[Outlook], target_n: float) -> list[str]:
    """One sentence for every learning rate that does not stay clear of the thresholds."""
    words = []
    for own in found:
        start = f"{watched.name} at learning rate {own.lr:.3g} is predicted to be"
        value = f"{own.predicted:.3g} at N = {target_n:.3g}"
        if own.lost_at is not None:
            words.append(f"{start} {value}: runs are lost from N = {own.lost_at:.2g} on")
        elif own.warn_at is not None:
            words.append(f"{start} {value}, near where runs are lost")
    return words


def attention_logits(measurements: Mapping[str, Any]) -> dict[int, float]:
    """Largest attention logit of all blocks by step, from a record's measurements."""
    found = measurements.get("attention_logits", {"steps": [], "blocks": {}})
    columns = zip(*found["blocks"].values(), strict=True)
    return {step: max(own) for step, own in zip(found["steps"], columns, strict=False)}


def gradients_to_eps(measurements: Mapping[str, Any]) -> dict[int, float]:
    """Smallest RMS(g) / eps of all roles by step, from a record's measurements."""
    found = measurements.get("role_sizes", {"steps": [], "gradient_to_eps": {}})
    columns = zip(*found["gradient_to_eps"].values(), strict=True)
    smallest = (min((x for x in own if x is not None), default=None) for own in columns)
    pairs = zip(found["steps"], smallest, strict=False)
    return {step: value for step, value in pairs if value is not None}


def at_one_step(series_M: Sequence[Mapping[int, float]]) -> tuple[int, list[float]] | None:
    """The last step that every run was measured at, and the values there; None without one."""
    common = set(series_M[0]).intersection(*series_M[1:]) if series_M else set()
    return (max(common), [own[max(common)] for own in series_M]) if common else None


MEASURED = ((ATTENTION_LOGIT, attention_logits), (GRADIENT_TO_EPS, gradients_to_eps))


@dataclass(frozen=True)
class Foreseen:
    """What runs that were compared at `step` say of a quantity, a line per learning rate."""

    watched: Watched
    step: int
    outlooks: list[Outlook]


def foresee(runs: Sequence[Run], target_n: float) -> list[Foreseen]:
    """Each watched quantity carried on to `target_n`, of those that two runs or more share.

    Raises:
        ValueError: as `outlooks`.
    """
    found = []
    for watched, read in MEASURED:
        known = [(run, values) for run in runs if (values := read(run.measurements))]
        common = at_one_step([values for _, values in known])
        if common is not None and len(known) > 1:
            step, values = common
            sizes, rates = [run.n for run, _ in known], [run.lr for run, _ in known]
            own = outlooks(watched, sizes, rates, values, target_n)
            found.append(Foreseen(watched, step, own))
    return found
