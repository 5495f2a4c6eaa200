"""Profile intervals against Student's closed form, where the law is linear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
from windtunnel.scaling.profile import coefficient_interval, prediction_interval

LEAST = {"loss_kind": "least_squares", "delta": None}
X = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 9.0])
Y = np.array([4.1, 3.8, 3.6, 3.3, 2.4, 2.2])


class Line:
    """L = p + q X."""

    name = "line"
    formula = "L = p + q X"
    columns = ("X",)
    unit_groups = (("X",),)
    response = "L"
    constant = None
    coefficients = (Coefficient("p", "level", -9.0, 9.0), Coefficient("q", "slope", -9.0, 9.0))

    def predict(self, theta_SP: np.ndarray, x: Mapping[str, np.ndarray]) -> np.ndarray:
        return theta_SP[:, [0]] + theta_SP[:, [1]] * x["X"]

    def gradient(self, theta_SP: np.ndarray, x: Mapping[str, np.ndarray]) -> np.ndarray:
        one_SM = np.ones((len(theta_SP), len(x["X"])))
        return np.stack([one_SM, one_SM * x["X"]], axis=-1)

    def starts(self, x: Mapping[str, np.ndarray], loss_M: np.ndarray) -> np.ndarray:
        return np.zeros((1, 2))

    def rescale(self, theta_SP: np.ndarray, units: Mapping[str, float]) -> np.ndarray:
        return theta_SP / np.array([1.0, units["X"]])


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_prediction_of_a_line(n_seeds: int) -> None:
    x, y = np.repeat(X, 2), np.repeat(Y, 2) + np.tile([0.1, -0.1], 6)
    fitted = fit(Line(), {"X": x}, y, **LEAST)
    assert fitted.noise.source == "pooled"
    slope, level = np.polyfit(x, y, 1)
    variance = np.sum((y - level - slope * x) ** 2) / 10
    at = 15.0
    leverage = 1 / 12 + (at - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    half = stats.t.ppf(0.95, 10) * np.sqrt(variance * (1 / n_seeds + leverage))
    found = prediction_interval(fitted, {"X": at}, 0.9, n_seeds)
    expected = level + slope * at + np.array([-half, half])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_coefficients_of_a_line() -> None:
    fitted = fit(Line(), {"X": X}, Y, **LEAST)
    for name in "pq":
        half = stats.t.ppf(0.975, 4) * fitted.errors[name]
        expected = fitted.parameters[name] + np.array([-half, half])
        found = coefficient_interval(fitted, name, 0.95)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_interval_that_meets_a_bound_ends_there() -> None:
    n = np.geomspace(1.0, 2.0, 6)
    loss = 3 + n**-0.3 + 0.01 * np.array([1, -1, 1, -1, 1, -1])
    fitted = fit(PowerLawConstant(), {"N": n}, loss, **LEAST)
    low, high = coefficient_interval(fitted, "c", 0.9)
    assert low == 0.0
    assert fitted.parameters["c"] < high < loss.min()


def test_only_least_squares_has_a_profile() -> None:
    fitted = fit(PowerLaw(), {"N": X}, Y, loss_kind="huber_log", delta=1e-3)
    with pytest.raises(ValueError, match="method: profile needs a least_squares fit"):
        prediction_interval(fitted, {"N": 20.0}, 0.9, 1)


def test_no_degrees_of_freedom_is_refused() -> None:
    fitted = fit(PowerLaw(), {"N": X[:2]}, Y[:2], **LEAST)
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        coefficient_interval(fitted, "b", 0.9)


def test_without_noise_an_interval_has_no_width() -> None:
    n = np.geomspace(1.0, 30.0, 6)
    exact = fit(PowerLaw(), {"N": n}, 4 * n**-0.1, **LEAST)
    flat = fit(Line(), {"X": X}, 7 - 0.5 * X, **LEAST)
    for fitted, at in ((exact, {"N": 100.0}), (flat, {"X": 12.0})):
        loss = fitted.predict(at)[0]
        assert prediction_interval(fitted, at, 0.9, 1) == (loss, loss)
        for name, value in fitted.parameters.items():
            assert coefficient_interval(fitted, name, 0.9) == (value, value)
        assert "no noise that an interval could be drawn from" in fitted.warnings[0]
