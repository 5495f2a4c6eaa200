"""Two designs: the linear case in closed form, seeds that they share, and where curves cross."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from windtunnel.scaling.designs import compare_designs, correlation, paired
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

N = np.repeat(np.geomspace(1.0, 30.0, 6), 4)
SIZES = {"N": np.geomspace(1.0, 1e4, 200)}
TARGET = {"N": 300.0}
SETTINGS: dict[str, Any] = {"level": 0.9, "n_resamples": 2000}
LEAST: dict[str, Any] = {"loss_kind": "least_squares", "delta": None}
SD = 0.01
KEYS = list(range(len(N)))


def ladder(theta: list[float], noise: np.ndarray) -> Fit:
    loss = PowerLaw().predict(np.array([theta]), {"N": N})[0] + noise
    return fit(PowerLaw(), {"N": N}, loss, **LEAST)


def verdict(a: Fit, b: Fit, pairs: list[tuple[int, int]], seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return compare_designs(a, b, pairs, TARGET, SIZES, "N", rng=rng, **SETTINGS)


def draws(seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Noise of two ladders with a correlation of `share`."""
    first, second = SD * np.random.default_rng(seed).standard_normal((2, len(N)))
    return first, share * first + np.sqrt(1 - share**2) * second


def test_the_interval_of_a_difference_is_students() -> None:
    """Two independent ladders of one law: by the linear approximation of each."""
    a, b = (ladder([4.0, -0.1], noise) for noise in draws(3, 0.0))
    found = verdict(a, b, [])
    assert (found.n_pairs, found.rho) == (0, 0.0)
    np.testing.assert_allclose(found.difference, (a.predict(TARGET) - b.predict(TARGET))[0])
    parts = []
    for one in (a, b):
        theta_P = np.array([list(one.parameters.values())])
        J = PowerLaw().gradient(theta_P, {"N": N})[0]
        g = PowerLaw().gradient(theta_P, {"N": np.array([300.0])})[0, 0]
        parts.append(one.noise.mean_square * g @ np.linalg.solve(J.T @ J, g))
    sd = np.sqrt(sum(parts))
    half = stats.t.ppf(0.95, 22) * sd
    np.testing.assert_allclose(found.high - found.low, 2 * half, rtol=0.06)
    expected = stats.t.cdf(-found.difference / sd, 22)
    np.testing.assert_allclose(found.probability, expected, atol=0.04)


def test_seeds_that_are_shared_sharpen_the_difference() -> None:
    a, b = (ladder([4.0, -0.1], noise) for noise in draws(3, 0.95))
    pairs = paired(KEYS, KEYS)
    alone, together = verdict(a, b, []), verdict(a, b, pairs)
    assert together.n_pairs == len(N)
    np.testing.assert_allclose(together.rho, 0.95, atol=0.04)
    narrower = (together.high - together.low) / (alone.high - alone.low)
    np.testing.assert_allclose(narrower, np.sqrt(1 - together.rho), rtol=0.15)


def test_a_clearly_better_design_wins() -> None:
    better, worse = ladder([4.0, -0.12], draws(1, 0)[0]), ladder([4.0, -0.1], draws(1, 0)[1])
    assert verdict(better, worse, []).probability > 0.999
    assert verdict(worse, better, []).probability < 0.001
    assert verdict(better, worse, []).high < 0


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_equal_designs_are_told_apart_as_often_as_chance(share: float) -> None:
    """Of 120 pairs of equal designs, 90 % of the probabilities lie within 0.05 to 0.95."""
    inside = 0
    for seed in range(120):
        a, b = (ladder([4.0, -0.1], noise) for noise in draws(seed, share))
        settings = SETTINGS | {"n_resamples": 200}
        rng = np.random.default_rng(seed)
        found = compare_designs(a, b, paired(KEYS, KEYS), TARGET, SIZES, "N", rng=rng, **settings)
        inside += 0.05 < found.probability < 0.95
    low, high = stats.binom.interval(0.999, 120, 0.9)
    assert low <= inside <= high


def test_where_curves_cross() -> None:
    """4 N^-0.1 and 4.6 N^-0.15 meet at (4.6 / 4)^20 = 16.4."""
    a, b = ladder([4.0, -0.1], draws(2, 0)[0]), ladder([4.6, -0.15], draws(2, 0)[1])
    crossing = verdict(a, b, []).crossing
    truth = 1.15**20
    assert crossing.low < truth < crossing.high
    assert crossing.low < crossing.size < crossing.high
    assert crossing.share == 1.0
    quiet = np.zeros(len(N))
    exact = verdict(ladder([4.0, -0.1], quiet), ladder([4.6, -0.15], quiet), []).crossing
    np.testing.assert_allclose([exact.size, exact.low, exact.high], truth, rtol=1e-3)


def test_curves_that_never_cross() -> None:
    a, b = ladder([4.0, -0.1], draws(2, 0)[0]), ladder([5.0, -0.1], draws(2, 0)[1])
    crossing = verdict(a, b, []).crossing
    assert (crossing.size, crossing.low, crossing.high, crossing.share) == (None, None, None, 0.0)


def test_few_pairs_tell_no_correlation() -> None:
    a, b = (ladder([4.0, -0.1], noise) for noise in draws(3, 0.95))
    assert correlation(a, b, paired(KEYS[:3], KEYS[:3])) == 0.0
    assert correlation(a, a, paired(KEYS, KEYS)) == 0.99
    quiet = ladder([4.0, -0.1], np.zeros(len(N)))
    assert abs(correlation(quiet, quiet, paired(KEYS, KEYS))) <= 0.99


def test_pairs_are_found_by_their_keys() -> None:
    assert paired(["32/1", "32/2", "64/1"], ["64/1", "32/1"]) == [(0, 1), (2, 0)]
    with pytest.raises(ValueError, match=r"pairs: .* got \['32/1'\] more than once"):
        paired(["64/1"], ["32/1", "32/1"])


def test_different_objectives_are_refused() -> None:
    a = ladder([4.0, -0.1], draws(1, 0)[0])
    b = fit(PowerLaw(), {"N": N}, a.points.loss_M, loss_kind="huber_log", delta=1e-3)
    with pytest.raises(ValueError, match="objective: expected the same for both designs"):
        verdict(a, b, [])


@pytest.mark.parametrize("swap", [False, True])
def test_no_degrees_of_freedom_is_refused(swap: bool) -> None:
    n = N[::8]
    short = fit(PowerLawConstant(), {"N": n}, n**-0.3 + 2.0, **LEAST)
    a, b = (short, ladder([4.0, -0.1], draws(1, 0)[0]))[:: -1 if swap else 1]
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        verdict(a, b, [])
