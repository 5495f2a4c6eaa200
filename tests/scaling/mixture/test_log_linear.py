from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tests.scaling.mixture import planted as made
from windtunnel.scaling.mixture import log_linear
from windtunnel.scaling.mixture.log_linear import LogLinear


def test_the_planted_law_is_found_without_noise() -> None:
    rows, new = made.planted(40, seed=1), made.planted(50, seed=2)
    assert LogLinear().fit(*rows)(new.weights_MS) == pytest.approx(new.loss_M, rel=1e-7)


def test_its_coefficients_are_found_within_their_noise() -> None:
    rows = made.planted(400, seed=3, sd=0.01)
    predict = LogLinear().fit(*rows)
    corners_S = predict(np.eye(5))  # c + exp(t) of each domain alone
    assert corners_S == pytest.approx(made.law(np.eye(5)), abs=0.03)
    residual_M = rows.loss_M - predict(rows.weights_MS)
    assert residual_M.std() == pytest.approx(0.01, rel=0.1)


def test_losses_of_a_plane_without_a_floor_are_found() -> None:
    """ln L is a plane: c = 0 is at the edge of where c may lie."""
    rows = made.planted(40, seed=4)
    loss_M = np.exp(rows.weights_MS @ np.arange(5))
    found_M = LogLinear().fit(rows.weights_MS, loss_M)(rows.weights_MS)
    assert found_M == pytest.approx(loss_M, rel=1e-4)


def test_equal_losses_are_a_constant() -> None:
    rows = made.planted(20, seed=5)
    found_M = LogLinear().fit(rows.weights_MS, np.full(20, 3.5))(rows.weights_MS)
    assert found_M == pytest.approx(np.full(20, 3.5), rel=1e-6)


def test_the_gradient_that_the_search_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, seen = made.planted(12, seed=6, sd=0.1), []
    search = log_linear.optimize.least_squares

    def kept(residual: Any, start: Any, *, jac: Any, **settings: Any) -> Any:
        seen.append((residual, start, jac))
        return search(residual, start, jac=jac, **settings)

    monkeypatch.setattr(log_linear.optimize, "least_squares", kept)
    LogLinear().fit(*rows)
    residual, start, jac = seen[1]
    for row in range(3):
        numeric = approx_fprime(start, lambda theta, row=row: residual(theta)[row], 1e-7)
        assert jac(start)[row] == pytest.approx(numeric, rel=1e-4, abs=1e-5)
