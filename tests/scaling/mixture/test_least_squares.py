from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.mixture.planted import planted
from windtunnel.scaling.mixture.least_squares import LeastSquares


def test_a_plane_is_found() -> None:
    weights_MS = planted(30, seed=1).weights_MS
    slope_S = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    predict = LeastSquares().fit(weights_MS, 4 + weights_MS @ slope_S)
    new_MS = planted(7, seed=2).weights_MS
    assert predict(new_MS) == pytest.approx(4 + new_MS @ slope_S, abs=1e-12)


def test_residuals_are_free_of_every_weight() -> None:
    rows = planted(40, seed=3, sd=0.1)
    residual_M = rows.loss_M - LeastSquares().fit(*rows)(rows.weights_MS)
    assert rows.weights_MS.T @ residual_M == pytest.approx(np.zeros(5), abs=1e-12)
    assert residual_M.sum() == pytest.approx(0, abs=1e-12)
