"""Prediction intervals: how often they hold the target's loss, and their settings."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats

from windtunnel.scaling.bootstrap import Resamples
from windtunnel.scaling.fit import fit
from windtunnel.scaling.interval import Method, band, coefficient_intervals, predict
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

LAW = PowerLawConstant()
TRUTH = np.array([[1.2, -0.4, 3.5]])
SD, LEVEL = 0.005, 0.9
LEAST = {"loss_kind": "least_squares", "delta": None}
HUBER = {"loss_kind": "huber_log", "delta": 1e-2}


def count(width: np.ndarray | float) -> np.ndarray:
    """Parameters in 2^20 of four layers and a vocabulary of 1024."""
    width = np.asarray(width, float)
    return (1024 * width + 48 * width**2) / 2**20


WIDTHS = np.array([32.0, 48.0, 64.0, 96.0, 128.0, 160.0, 192.0])
TARGET = {"N": float(count(448.0))}
SETTINGS: dict[str, Any] = {"level": LEVEL, "n_resamples": 200, "n_target_seeds": 1, "seed": 0}


def ladder(
    widths: np.ndarray, n_seeds: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    x = {"N": np.repeat(count(widths), n_seeds)}
    return x, LAW.predict(TRUTH, x)[0] + SD * rng.standard_normal(len(x["N"]))


def binomial_band(n: int) -> tuple[float, float]:
    """Where the count of n intervals of the stated level lies with probability 0.999."""
    low, high = stats.binom.interval(0.999, n, LEVEL)
    return float(low), float(high)


@pytest.mark.parametrize(
    ("n_widths", "n_seeds", "n_target"),
    [
        (7, 1, 1),
        pytest.param(5, 2, 1, marks=pytest.mark.slow),
        pytest.param(6, 3, 3, marks=pytest.mark.slow),
    ],
)
def test_coverage(n_widths: int, n_seeds: int, n_target: int) -> None:
    """Nominal 90 %, 150 ladders: between 122 and 146 hold the target's loss, by every method."""
    rng = np.random.default_rng(10 * n_widths + n_seeds)
    settings = SETTINGS | {"n_target_seeds": n_target}
    truth = LAW.predict(TRUTH, {"N": np.array([TARGET["N"]])})[0, 0]
    held, n_ladders = dict.fromkeys(get_args(Method), 0), 150
    for _ in range(n_ladders):
        x, loss = ladder(WIDTHS[:n_widths], n_seeds, rng)
        fitted = fit(LAW, x, loss, **LEAST)
        actual = truth + SD * rng.standard_normal() / np.sqrt(n_target)
        for method in held:
            found = predict(fitted, TARGET, method=method, **settings)
            held[method] += found.low <= actual <= found.high
    low, high = binomial_band(n_ladders)
    assert (low, high) == (122, 146)
    assert all(low <= n <= high for n in held.values()), held


def test_coverage_of_a_huber_fit() -> None:
    rng = np.random.default_rng(3)
    truth = LAW.predict(TRUTH, {"N": np.array([TARGET["N"]])})[0, 0]
    held, n_ladders = 0, 100
    for _ in range(n_ladders):
        x, loss = ladder(WIDTHS, 1, rng)
        actual = truth + SD * rng.standard_normal()
        fitted = fit(LAW, x, loss, **HUBER)
        found = predict(fitted, TARGET, method="bootstrap_parametric", **SETTINGS)
        held += found.low <= actual <= found.high
    low, high = binomial_band(n_ladders)
    assert low <= held <= high


@pytest.mark.parametrize("method", get_args(Method))
def test_more_runs_and_more_target_seeds_narrow_the_interval(method: Method) -> None:
    settings = SETTINGS | {"method": method, "n_resamples": 1000}

    def width(n_widths: int, n_seeds: int, n_target: int) -> float:
        x, loss = ladder(WIDTHS[:n_widths], n_seeds, np.random.default_rng(8))
        found = predict(
            fit(LAW, x, loss, **LEAST), TARGET, **settings | {"n_target_seeds": n_target}
        )
        assert found.low < found.loss < found.high
        return found.high - found.low

    assert width(7, 6, 1) < width(7, 1, 1)
    assert width(7, 6, 6) < width(7, 6, 1)
    assert 2 * stats.norm.ppf(0.95) * SD * 0.7 < width(7, 6, 1)


def test_a_short_ladder_gives_a_wide_interval() -> None:
    short = np.array([128.0, 136.0, 144.0, 152.0, 160.0, 168.0])
    x, loss = ladder(short, 1, np.random.default_rng(1))
    found = predict(
        fit(LAW, x, loss, **LEAST), {"N": float(count(2048))}, method="profile", **SETTINGS
    )
    gap = loss[-1] - LAW.predict(TRUTH, {"N": count(2048)[None]})[0, 0]
    assert found.high - found.low > gap


@pytest.mark.parametrize("method", get_args(Method))
def test_a_band_is_the_interval_at_each_point(method: Method) -> None:
    x, loss = ladder(WIDTHS, 1, np.random.default_rng(2))
    fitted = fit(LAW, x, loss, **LEAST)
    sizes = np.append(count(WIDTHS), TARGET["N"])
    settings = SETTINGS | {"n_resamples": 4000}
    drawn = band(fitted, {"N": sizes}, method=method, **settings)
    np.testing.assert_allclose(drawn.loss_M, fitted.predict({"N": sizes}))
    assert (drawn.low_M < drawn.loss_M).all()
    assert (drawn.loss_M < drawn.high_M).all()
    single = predict(fitted, TARGET, method=method, **settings)
    np.testing.assert_allclose(drawn.low_M[-1], single.low, atol=2e-3)
    np.testing.assert_allclose(drawn.high_M[-1], single.high, atol=2e-3)


@pytest.mark.parametrize("method", get_args(Method))
def test_intervals_of_coefficients_hold_the_truth(method: Method) -> None:
    x, loss = ladder(WIDTHS, 3, np.random.default_rng(4))
    fitted = fit(LAW, x, loss, **LEAST)
    found = coefficient_intervals(fitted, level=0.99, method=method, n_resamples=1000, seed=0)
    for name, truth in zip("abc", TRUTH[0], strict=True):
        low, high = found[name]
        assert low < truth < high
        assert low < fitted.parameters[name] < high


def test_the_same_seed_gives_the_same_interval() -> None:
    x, loss = ladder(WIDTHS, 1, np.random.default_rng(2))
    fitted = fit(LAW, x, loss, **LEAST)
    one, two = (predict(fitted, TARGET, method="bootstrap_residual", **SETTINGS) for _ in range(2))
    assert one == two


def test_a_bootstrap_whose_refits_fail_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x, loss = ladder(WIDTHS, 1, np.random.default_rng(2))
    fitted = fit(LAW, x, loss, **LEAST)
    stuck = Resamples(np.tile(fitted.scaled_P, (200, 1)), np.ones(200), 0.5)
    monkeypatch.setattr("windtunnel.scaling.interval.resample", lambda *_: stuck)
    found = predict(fitted, TARGET, method="bootstrap_residual", **SETTINGS)
    assert found.warnings == ("only 50% of the bootstrap's refits converged",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 90}, "level: expected a probability between 0 and 1, such as 0.9; got 90"),
        ({"method": "wald"}, "method: expected one of bootstrap_residual, .*; got 'wald'"),
        ({"n_resamples": 19}, "n_resamples: expected at least 20 for level 0.9.*got 19"),
        ({"n_target_seeds": 0}, "n_target_seeds: expected 1 or more; got 0"),
    ],
)
def test_unusable_settings(change: dict[str, Any], message: str) -> None:
    x, loss = ladder(WIDTHS, 1, np.random.default_rng(2))
    fitted = fit(LAW, x, loss, **LEAST)
    with pytest.raises(ValueError, match=message):
        predict(fitted, TARGET, **SETTINGS | {"method": "bootstrap_residual"} | change)


def test_a_target_without_its_column_is_refused() -> None:
    x, loss = ladder(WIDTHS, 1, np.random.default_rng(2))
    with pytest.raises(ValueError, match="column N: the law needs it; there are D"):
        predict(fit(LAW, x, loss, **LEAST), {"D": 3.0}, method="profile", **SETTINGS)
