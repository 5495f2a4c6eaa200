"""Noise estimates against their closed forms, and the variances of what is drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.noise import Noise, estimate, reshuffle, simulate

DESIGN = np.repeat(np.arange(6), 3)
ONES = np.ones(18)


def scatter(within: float, between: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return within * rng.standard_normal(18) + between * rng.standard_normal(6)[DESIGN]


def test_without_repeats_it_is_the_residual_variance() -> None:
    residual = np.array([1.0, -2.0, 0.5, 0.5, 1.0, -1.0])
    noise = estimate(residual, np.ones(6), np.arange(6), 3)
    assert (noise.source, noise.degrees, noise.between) == ("residual", 3, 0.0)
    assert noise.mean_square == noise.within == 7.5 / 3


def test_repeats_that_explain_the_misses_are_pooled() -> None:
    residual = np.tile([1.0, -1.0, 0.5], 6)
    noise = estimate(residual, ONES, DESIGN, 3)
    assert (noise.source, noise.degrees) == ("pooled", 15)
    np.testing.assert_allclose(noise.mean_square, 6 * 2.25 / 15)


def test_misses_beyond_the_seeds_are_lack_of_fit() -> None:
    inner, outer = np.tile([0.1, -0.1, 0.0], 6), np.array([1.0, -1, 1, -1, 1, -1])
    noise = estimate(inner + outer[DESIGN], ONES, DESIGN, 3)
    assert (noise.source, noise.degrees) == ("lack_of_fit", 3)
    np.testing.assert_allclose(noise.within, 6 * 0.02 / 12)
    np.testing.assert_allclose(noise.mean_square, 3 * 6 / 3)
    np.testing.assert_allclose(noise.between, (6 - 0.01) / 3)


def test_lack_of_fit_is_claimed_by_chance_in_one_case_of_ten() -> None:
    rng = np.random.default_rng(0)
    claimed = 0
    for _ in range(1000):
        residual = rng.standard_normal(18)
        residual -= np.polyval(np.polyfit(DESIGN, residual, 2), DESIGN)
        claimed += estimate(residual, ONES, DESIGN, 3).source == "lack_of_fit"
    assert 70 < claimed < 130  # three standard deviations of the binomial around 100


def test_no_degrees_of_freedom_is_not_a_number() -> None:
    noise = estimate(np.zeros(3), np.ones(3), np.arange(3), 3)
    assert np.isnan(noise.mean_square)
    assert noise.degrees == 0


def test_averaging_the_target_over_seeds() -> None:
    seeds = Noise(0.3, 3, 0.06, 0.08, 3.0, "lack_of_fit")
    np.testing.assert_allclose(seeds.target_variance(2), 0.08 + 0.03)
    pooled = Noise(0.06, 15, 0.06, 0.0, 3.0, "pooled")
    np.testing.assert_allclose(pooled.target_variance(3), 0.02)
    unknown = Noise(0.06, 3, 0.06, 0.0, 1.0, "residual")
    assert unknown.target_variance(3) == 0.06
    averaged = Noise(0.06, 3, 0.06, 0.0, 3.0, "residual")
    np.testing.assert_allclose(averaged.target_variance(5), 0.02)


@pytest.mark.parametrize("between", [0.0, 0.5])
@pytest.mark.parametrize("method", ["simulate", "reshuffle"])
def test_drawn_noise_has_the_estimated_variances(method: str, between: float) -> None:
    noise = estimate(scatter(0.1, between, 1), ONES, DESIGN, 3)
    assert noise.source == ("lack_of_fit" if between else "pooled")
    rng = np.random.default_rng(2)
    weights = np.tile([1.0, 1.0, 4.0], 6)
    if method == "simulate":
        drawn = simulate(noise, weights, DESIGN, 20_000, rng)
    else:
        drawn = reshuffle(noise, scatter(0.1, between, 1), weights, DESIGN, 20_000, rng)
    expected = noise.between + noise.within / weights
    np.testing.assert_allclose(drawn.var(axis=0), expected, rtol=0.06)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=5 * np.sqrt(expected.max() / 20_000))
    apart = drawn[:, 0] - drawn[:, 2]  # what is left between the seeds of one design
    np.testing.assert_allclose(apart.var(), noise.within * (1 + 1 / 4), rtol=0.06)
    shared = np.mean(drawn[:, 0] * drawn[:, 1])
    np.testing.assert_allclose(shared, noise.between, atol=0.02 * expected.max())


def test_residuals_that_vanish_are_drawn_as_zero() -> None:
    noise = estimate(np.zeros(6), np.ones(6), np.arange(6), 3)
    rng = np.random.default_rng(0)
    assert not reshuffle(noise, np.zeros(6), np.ones(6), np.arange(6), 10, rng).any()
