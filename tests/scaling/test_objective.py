"""The costs of a fit against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from windtunnel.scaling.objective import HuberLog, LeastSquares, objective_of

RESIDUALS = np.array([-3.0, -0.5, -0.1, 0.0, 0.2, 0.3, 4.0])


def test_huber_is_scipys() -> None:
    objective = HuberLog(0.3)
    np.testing.assert_allclose(objective.cost(RESIDUALS), special.huber(0.3, RESIDUALS))


@pytest.mark.parametrize("objective", [LeastSquares(), HuberLog(0.25)])
def test_weight_is_the_derivative_of_the_cost_over_the_residual(
    objective: LeastSquares | HuberLog,
) -> None:
    residual = RESIDUALS[RESIDUALS != 0]
    derivative = (objective.cost(residual + 1e-6) - objective.cost(residual - 1e-6)) / 2e-6
    np.testing.assert_allclose(objective.weight(residual), derivative / residual, rtol=1e-6)
    assert objective.weight(np.zeros(1)) == 1


@pytest.mark.parametrize("objective", [LeastSquares(), HuberLog(0.25)])
def test_scale_unscale_and_slope_belong_together(objective: LeastSquares | HuberLog) -> None:
    loss = np.array([0.5, 2.0, 4.0])
    np.testing.assert_allclose(objective.unscale(objective.scale(loss)), loss)
    slope = (objective.scale(loss + 1e-6) - objective.scale(loss - 1e-6)) / 2e-6
    np.testing.assert_allclose(objective.slope(loss), slope, rtol=1e-6)


def test_objectives_by_kind() -> None:
    assert objective_of("least_squares", None) == LeastSquares()
    assert objective_of("huber_log", 1e-3) == HuberLog(1e-3)


@pytest.mark.parametrize(
    ("kind", "delta", "message"),
    [
        ("huber_log", None, "delta: huber_log needs one"),
        ("huber_log", 0.0, "delta: expected a number above 0; got 0.0"),
        ("least_squares", 1e-3, "delta: least_squares has none; got 0.001"),
        ("huber", 1e-3, "loss_kind: expected least_squares or huber_log; got 'huber'"),
    ],
)
def test_unusable_settings(kind: str, delta: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objective_of(kind, delta)  # pyright: ignore[reportArgumentType]
