"""Two designs, each with a ladder of its own: which is better at the target, and where they cross.

Both curves are resampled together. With e_A and e_B the noise of two runs that are paired, such as
by width and seed, and rho the correlation of the paired residuals,

    e_B = rho e_A sd_B / sd_A + sqrt(1 - rho^2) e,    e independent, of B's variance

so that what a seed does to both does not blur their difference. Both are multiplied by the same
factor sqrt(nu / chi^2_nu) of `bootstrap.py`, with the fewer degrees of freedom of the two. The
probability that A beats B is the share of resamples whose curve of A is lower at the target: it is
about the designs, the mean over many seeds, and not about one run of each.

Source: the parametric bootstrap, see `bootstrap.py`; common random numbers, Efron and Tibshirani
1993, chapter 8. Taking rho from the residuals is our choice.

Axes: M runs of A, m runs of B, R resamples, K sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.scaling.bootstrap import refit
from windtunnel.scaling.fit import Fit, check_degrees
from windtunnel.scaling.noise import Noise, simulate
from windtunnel.scaling.objective import SMALLEST_LOSS

FEWEST_PAIRS = 4  # below, a correlation is a guess, and the runs count as independent
LARGEST_RHO = 0.99


@dataclass(frozen=True)
class Crossing:
    """The largest size at which the better design changes, None where it never does, the ends of
    its interval over the resamples that cross, and their share."""

    size: float | None
    low: float | None
    high: float | None
    share: float


@dataclass(frozen=True)
class Verdict:
    """Loss of A less loss of B at the target in nats, with its interval; the probability that A is
    lower; how many runs were paired, and the correlation of their noise."""

    difference: float
    low: float
    high: float
    probability: float
    n_pairs: int
    rho: float
    crossing: Crossing


def compare_designs(
    a: Fit,
    b: Fit,
    pairs: Sequence[tuple[int, int]],
    target: Mapping[str, float],
    sizes: Mapping[str, ndarray],
    along: str,
    *,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> Verdict:
    """Which of two fitted designs has the lower loss at the target, and where their curves cross.

    Args:
        a: the law fitted to the first design's runs.
        b: the same for the second.
        pairs: rows of runs of A and B that belong together; each row at most once.
        target: the target's columns.
        sizes: columns of the sizes at which to look for a crossing, in rising order [K] each.
        along: the column of `sizes` that a crossing is given in.
        level: probability that the intervals claim.
        n_resamples: how many times both curves are drawn.
        rng: of the draws.

    Raises:
        ValueError: a fit left no degree of freedom, or they have different objectives.
    """
    check_degrees(a)
    check_degrees(b)
    if a.objective != b.objective:
        raise ValueError(
            f"objective: expected the same for both designs; got {a.objective} and {b.objective}"
        )
    rho = correlation(a, b, pairs)
    noise_RM, noise_Rm = _noise(a, b, pairs, rho, n_resamples, rng)
    freedom = min(a.noise.degrees, b.noise.degrees)
    factor_R = np.sqrt(freedom / rng.chisquare(freedom, n_resamples))
    x = {c: np.append(np.atleast_1d(sizes[c]), float(target[c])) for c in target}
    curves = [_redrawn(fit, noise, factor_R, x) for fit, noise in ((a, noise_RM), (b, noise_Rm))]
    gap_RK, gap_K = curves[0] - curves[1], a.predict(x) - b.predict(x)
    low, high = np.quantile(gap_RK[:, -1], [(1 - level) / 2, (1 + level) / 2])
    return Verdict(
        float(gap_K[-1]),
        float(low),
        float(high),
        float(np.mean(gap_RK[:, -1] < 0)),
        len(pairs),
        rho,
        _crossing(gap_K[:-1], gap_RK[:, :-1], sizes[along], level),
    )


def paired(keys_a: Sequence[object], keys_b: Sequence[object]) -> list[tuple[int, int]]:
    """Rows of A and B with the same key, such as the width and the seed as one text.

    Raises:
        ValueError: a key comes twice in one of the ladders.
    """
    for keys in (keys_a, keys_b):
        if len(set(keys)) < len(keys):
            twice = sorted({str(key) for key in keys if list(keys).count(key) > 1})
            raise ValueError(
                f"pairs: expected each run of a ladder under a key of its own; got {twice} more "
                "than once: pair by something that tells the runs apart, such as size and seed"
            )
    rows_b = {key: row for row, key in enumerate(keys_b)}
    return [(row, rows_b[key]) for row, key in enumerate(keys_a) if key in rows_b]


def correlation(a: Fit, b: Fit, pairs: Sequence[tuple[int, int]]) -> float:
    """Correlation of the noise of paired runs, from their residuals; 0 where there are few."""
    if len(pairs) < FEWEST_PAIRS:
        return 0.0
    rows_a, rows_b = np.array(pairs).T
    residual_a, residual_b = _residual(a)[rows_a], _residual(b)[rows_b]
    spread = np.sqrt(residual_a @ residual_a * (residual_b @ residual_b))
    found = residual_a @ residual_b / spread if spread > 0 else 0.0
    return float(np.clip(found, -LARGEST_RHO, LARGEST_RHO))


def _residual(fit: Fit) -> ndarray:
    fitted_M = fit.objective.scale(fit.predict(fit.points.x))
    return fit.objective.scale(fit.points.loss_M) - fitted_M


def _noise(
    a: Fit, b: Fit, pairs: Sequence[tuple[int, int]], rho: float, n_R: int, rng: np.random.Generator
) -> tuple[ndarray, ndarray]:
    noise_RM, noise_Rm = (
        simulate(fit.noise, fit.points.weights_M, fit.points.design_M, n_R, rng) for fit in (a, b)
    )
    if rho:
        rows_a, rows_b = np.array(pairs).T
        ratio = _sd(b.noise, b.points.weights_M)[rows_b] / _sd(a.noise, a.points.weights_M)[rows_a]
        own = np.sqrt(1 - rho**2) * noise_Rm[:, rows_b]
        noise_Rm[:, rows_b] = rho * ratio * noise_RM[:, rows_a] + own
    return noise_RM, noise_Rm


def _sd(noise: Noise, weights_M: ndarray) -> ndarray:
    return np.sqrt(noise.within / weights_M + noise.between)


def _redrawn(fit: Fit, noise_RM: ndarray, factor_R: ndarray, x: Mapping[str, ndarray]) -> ndarray:
    fitted_M = fit.objective.scale(fit.predict(fit.points.x))
    loss_RM = fit.objective.unscale(fitted_M + factor_R[:, None] * noise_RM)
    drawn = refit(fit, fit.problem(np.maximum(loss_RM, SMALLEST_LOSS)), factor_R)
    return fit.law.predict(drawn.scaled_RP, fit.scale(x))


def _crossing(gap_K: ndarray, gap_RK: ndarray, size_K: ndarray, level: float) -> Crossing:
    at_R = _last_root(gap_RK, np.log(size_K))
    crossed_R = at_R[np.isfinite(at_R)]
    at = float(_last_root(gap_K[None], np.log(size_K))[0])
    low = high = None
    if len(crossed_R):
        ends = np.quantile(crossed_R, [(1 - level) / 2, (1 + level) / 2])
        low, high = np.exp(ends).tolist()
    size = float(np.exp(at)) if np.isfinite(at) else None
    return Crossing(size, low, high, len(crossed_R) / len(at_R))


def _last_root(gap_RK: ndarray, log_K: ndarray) -> ndarray:
    """Where each row last changes its sign, NaN where it never does [R]."""
    changes_RK = np.sign(gap_RK[:, 1:]) != np.sign(gap_RK[:, :-1])
    last_R = changes_RK.shape[1] - 1 - np.argmax(changes_RK[:, ::-1], axis=1)
    rows = np.arange(len(gap_RK))
    before_R, after_R = gap_RK[rows, last_R], gap_RK[rows, last_R + 1]
    step_R = np.where(before_R == after_R, 1.0, before_R - after_R)
    at_R = log_K[last_R] + before_R / step_R * (log_K[last_R + 1] - log_K[last_R])
    return np.where(changes_RK.any(axis=1), at_R, np.nan)
