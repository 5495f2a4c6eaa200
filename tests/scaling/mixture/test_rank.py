from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from windtunnel.scaling.mixture.rank import Rank, spearman


def test_rho_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        first, second = rng.integers(0, 6, (2, 15)).astype(float)
        found = spearman(first, second, level=0.9, n_resamples=10, seed=0)
        assert found.rho == pytest.approx(spearmanr(first, second).statistic)


def test_only_the_order_counts() -> None:
    values = np.random.default_rng(2).normal(size=30)
    found = spearman(np.exp(values), values, level=0.9, n_resamples=50, seed=0)
    assert (found.rho, found.low, found.high) == pytest.approx((1, 1, 1))
    assert spearman(-values, values, level=0.9, n_resamples=5, seed=0).rho == pytest.approx(-1)


def test_the_interval_is_that_of_rows_drawn_again() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=25)
    second = first + rng.normal(size=25)
    rows = np.random.default_rng(7).integers(0, 25, (300, 25))
    drawn = [spearmanr(first[row], second[row]).statistic for row in rows]
    found = spearman(first, second, level=0.8, n_resamples=300, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))


@pytest.mark.slow
def test_the_interval_covers_as_often_as_it_claims() -> None:
    rng, inside = np.random.default_rng(4), 0
    truth = 6 / np.pi * np.arcsin(0.7 / 2)  # of normal pairs with correlation 0.7
    for seed in range(100):
        first = rng.normal(size=60)
        second = 0.7 * first + np.sqrt(1 - 0.49) * rng.normal(size=60)
        found = spearman(first, second, level=0.9, n_resamples=100, seed=seed)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert 0.83 < inside / 100 < 0.95


def test_a_constant_has_no_rank() -> None:
    flat, values = np.ones(5), np.arange(5.0)
    for pair in ((flat, values), (values, flat)):
        found = spearman(*pair, level=0.9, n_resamples=10, seed=0)
        assert found == Rank(None, None, None, 0.9)


def test_two_pairs_are_too_few() -> None:
    with pytest.raises(ValueError, match=r"spearman: expected at least 3 mixtures.*got 2"):
        spearman(np.arange(2.0), np.arange(2.0), level=0.9, n_resamples=10, seed=0)
