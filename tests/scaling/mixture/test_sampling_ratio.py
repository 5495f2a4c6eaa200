from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, t

from windtunnel.scaling.mixture.sampling_ratio import fit_ratio

SHARE_M = np.array([0.05, 0.1, 0.2, 0.35, 0.6, 0.9])


def test_the_law_is_found() -> None:
    found = fit_ratio(SHARE_M, 2.5 * SHARE_M**-0.12, 0.95)
    assert found.gamma == pytest.approx(0.12)
    assert found.alone == pytest.approx(2.5)
    assert (found.low, found.high) == pytest.approx((0.12, 0.12))
    assert found.rms_log == pytest.approx(0, abs=1e-12)
    assert found.loss(0.5) == pytest.approx(2.5 * 2**0.12)


def test_the_interval_is_that_of_a_regression() -> None:
    loss_M = 2.5 * SHARE_M**-0.12 * np.exp(np.random.default_rng(1).normal(0, 0.02, 6))
    reference = linregress(np.log(SHARE_M), np.log(loss_M))
    found = fit_ratio(SHARE_M, loss_M, 0.9)
    assert found.gamma == pytest.approx(-reference.slope)
    assert found.high - found.gamma == pytest.approx(t.ppf(0.95, 4) * reference.stderr)
    assert found.gamma - found.low == pytest.approx(t.ppf(0.95, 4) * reference.stderr)


@pytest.mark.slow
def test_the_interval_covers_as_often_as_it_claims() -> None:
    rng, inside = np.random.default_rng(2), 0
    for _ in range(400):
        found = fit_ratio(SHARE_M, 2.5 * SHARE_M**-0.12 * np.exp(rng.normal(0, 0.03, 6)), 0.8)
        inside += found.low <= 0.12 <= found.high
    assert 0.74 < inside / 400 < 0.86


@pytest.mark.parametrize("share_M", [SHARE_M[:2], np.full(5, 0.2)])
def test_shares_that_do_not_differ_are_refused(share_M: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shares: expected at least 3 runs with shares"):
        fit_ratio(share_M, np.ones(len(share_M)), 0.95)
