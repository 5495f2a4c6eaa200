from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.mixture.planted import planted
from windtunnel.scaling.mixture.best import best_mixture
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.least_squares import LeastSquares

FITTED_MS = planted(60, seed=1).weights_MS


def drawn(bound_S: np.ndarray, strength: float = 1.0) -> np.ndarray:
    draw = Draw(low=strength, high=strength, steps=1, temper=1.0)
    return draw.mixtures(np.full(5, 0.2), bound_S, 10_000, seed=2)


def test_the_bottom_of_a_bowl_is_found() -> None:
    bottom_S = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    found = best_mixture(
        lambda w: 3 + ((w - bottom_S) ** 2).sum(1),
        drawn(np.ones(5), 10.0),
        10,
        np.ones(5),
        FITTED_MS,
    )
    assert found.weights_S == pytest.approx(bottom_S, abs=0.04)
    assert found.weights_S.sum() == pytest.approx(1)
    assert found.loss == pytest.approx(3, abs=2e-3)
    assert found.at_bound == []


def test_a_plane_goes_to_the_corner_and_is_found_out() -> None:
    """All but 0.4 of every fitted mixture is elsewhere, and yet the plane asks for one domain."""
    slope_S = np.array([-1.0, 0.0, 0.1, 0.0, 0.1])
    near_MS = 0.6 * np.array([0, 0.3, 0.3, 0.2, 0.2]) + 0.4 * FITTED_MS
    predict = LeastSquares().fit(near_MS, 3 + near_MS @ slope_S)
    found = best_mixture(predict, drawn(np.ones(5)), 5, np.ones(5), near_MS)
    assert found.weights_S[0] > 0.98
    assert found.at_bound == [0]
    assert found.away > 0.55
    bound_S = np.array([0.3, 1, 1, 1, 1.0])
    kept = best_mixture(predict, drawn(bound_S), 5, bound_S, near_MS)
    assert 0.28 < kept.weights_S[0] <= 0.3
    assert kept.at_bound == [0]


def test_the_mean_of_the_best_is_taken_and_the_nearest_measured() -> None:
    candidates_MS = np.array([[1.0, 0], [0.8, 0.2], [0, 1], [0.5, 0.5]])
    found = best_mixture(lambda w: w[:, 1], candidates_MS, 2, np.ones(2), candidates_MS[2:])
    assert found.weights_S.tolist() == [0.9, 0.1]
    assert found.loss == pytest.approx(0.1)
    assert found.away == pytest.approx(0.4)


@pytest.mark.parametrize("top", [0, 5])
def test_more_than_there_are_is_refused(top: int) -> None:
    with pytest.raises(ValueError, match=rf"top: expected from 1 to the 4 candidates, got {top}"):
        best_mixture(lambda w: w[:, 0], np.eye(4), top, np.ones(4), np.eye(4))
