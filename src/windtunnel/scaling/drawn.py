"""How the intervals of one fit are drawn, and what they say of its coefficients.

By profile likelihood where the fit is by least squares and no bootstrap is asked for, else by a
bootstrap. That one draws weights of groups where a group is named, weights of runs where there are
at least `RUNS_PER_COEFFICIENT` of them for each coefficient, else residuals: a few runs at sizes of
one's choice are no sample of sizes, and many runs rarely scatter alike everywhere.

Axes: M runs, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.scaling.bootstrap import Resamples, resample, resample_groups
from windtunnel.scaling.fit import Fit
from windtunnel.scaling.interval import (
    Band,
    Interval,
    band,
    band_of,
    coefficient_intervals,
    coefficients_of,
    words_on,
)
from windtunnel.scaling.request import Data, Request

DEFAULT_RESAMPLES = 500
RUNS_PER_COEFFICIENT = 10
FEW_GROUPS = 8


@dataclass(frozen=True)
class Drawn:
    """A fit with the intervals of its coefficients by name.

    refits: what they are read off; None where they are profiles. how: in words; None where there is
    no interval, since no degree of freedom is left.
    """

    fitted: Fit
    request: Request
    refits: Resamples | None
    how: str | None
    ends: dict[str, Interval]

    def band(self, x: Mapping[str, ndarray]) -> Band:
        """The curve and the interval of one run along it; NaN where there is none."""
        fitted, level = self.fitted, self.request.level
        if self.how is None:
            curve_M = fitted.predict(x)
            return Band(curve_M, np.full_like(curve_M, np.nan), np.full_like(curve_M, np.nan))
        if self.refits is not None:
            rng = np.random.default_rng(self.request.seed)
            return band_of(fitted, self.refits, x, level, 1, rng)
        settings = {"n_resamples": 0, "n_target_seeds": 1, "seed": 0}
        return band(fitted, x, level=level, method="profile", **settings)

    def wide_constant(self) -> str | None:
        """The law's constant, where its interval is wider than the range of the fitted losses."""
        constant = self.fitted.law.constant
        if constant is None or self.how is None:
            return None
        low, high = self.ends[constant]
        return constant if high - low > np.ptp(self.fitted.points.loss_M) else None

    def not_known(self) -> set[str]:
        """Coefficients that the runs do not fix: by their errors, on a bound, or by their interval.

        The last is asked of the constant alone: it has no unit, so that its interval can be set
        beside the losses.
        """
        bounds = {name for name, error in self.fitted.errors.items() if math.isnan(error)}
        wide = self.wide_constant()
        return bounds | set(self.fitted.unidentified) | ({wide} if wide else set())

    def words(self, own: Data) -> list[str]:
        """What a reader must know of the intervals, besides the warnings of the fit."""
        words = list(words_on(self.refits)) if self.refits is not None else []
        wide = self.wide_constant()
        if wide and wide not in self.fitted.unidentified:
            words.append(
                f"{wide} is not identified: its interval is wider than the whole range of the "
                "fitted losses"
            )
        groups = () if own.group_M is None else np.unique(own.group_M)
        if 0 < len(groups) < FEW_GROUPS:
            words.append(
                f"there are only {len(groups)} groups of {self.request.group}: what they share is "
                "known roughly, and the interval may be too narrow"
            )
        return words


def n_resamples(request: Request) -> int:
    """How many refits a bootstrap of this request makes."""
    return DEFAULT_RESAMPLES if request.n_resamples is None else request.n_resamples


def draw(fitted: Fit, own: Data, request: Request, done: Callable[[int], None]) -> Drawn:
    """The intervals of a fit to `own`; `done` is told of every few refits.

    Raises:
        ValueError: there are too few groups.
    """
    if fitted.noise.degrees < 1:
        nothing = dict.fromkeys(fitted.parameters, Interval(math.nan, math.nan))
        return Drawn(fitted, request, None, None, nothing)
    level, n_R = request.level, n_resamples(request)
    by_profile = request.loss_kind == "least_squares" and request.n_resamples is None
    if by_profile and request.group is None:
        ends = coefficient_intervals(fitted, level=level, method="profile", n_resamples=0, seed=0)
        return Drawn(fitted, request, None, "profile likelihood", ends)
    rng = np.random.default_rng(request.seed)
    if request.group is not None:
        what, refits = f"by {request.group}", resample_groups(fitted, own.group_M, n_R, rng, done)
    elif len(own.loss_M) >= RUNS_PER_COEFFICIENT * len(fitted.parameters):
        what, refits = "over runs", resample_groups(fitted, None, n_R, rng, done)
    else:
        what, refits = "over residuals", resample(fitted, "residual", n_R, rng, done)
    how = f"bootstrap {what}, {n_R} resamples"
    return Drawn(fitted, request, refits, how, coefficients_of(fitted, refits, level))
