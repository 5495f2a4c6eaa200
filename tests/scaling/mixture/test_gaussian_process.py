from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.scaling.mixture.planted import law, planted
from windtunnel.scaling.mixture.gaussian_process import GaussianProcess, features
from windtunnel.scaling.mixture.ridge import Ridge


def kernel(first_MS: np.ndarray, second_NS: np.ndarray, signal: float, length: float) -> np.ndarray:
    apart = features(first_MS)[:, None] - features(second_NS)[None]
    return signal * np.exp(-0.5 * (apart**2).sum(-1) / length**2)


def test_predicts_the_posterior_mean_at_the_most_probable_scales() -> None:
    """Equations 2.23 and 5.8 of the source, with a search of our own for the scales."""
    rows, new_MS = planted(40, seed=1, sd=0.05), planted(9, seed=2).weights_MS
    mean, sd = rows.loss_M.mean(), rows.loss_M.std()
    y_M = (rows.loss_M - mean) / sd

    def minus_log_probability(scales: np.ndarray) -> float:
        signal, length, noise = np.exp(scales)
        covariance_MM = kernel(rows.weights_MS, rows.weights_MS, signal, length)
        covariance_MM += noise * np.eye(40)
        _, determinant = np.linalg.slogdet(covariance_MM)
        return 0.5 * (y_M @ np.linalg.solve(covariance_MM, y_M) + determinant)

    starts = [np.array([0.0, start, -4.6]) for start in (0.0, 1.0, 2.0)]
    found = min((minimize(minus_log_probability, s) for s in starts), key=lambda own: own.fun)
    signal, length, noise = np.exp(found.x)
    inverse_MM = np.linalg.inv(
        kernel(rows.weights_MS, rows.weights_MS, signal, length) + noise * np.eye(40)
    )
    expected = mean + sd * kernel(new_MS, rows.weights_MS, signal, length) @ inverse_MM @ y_M
    predict = GaussianProcess(restarts=2, seed=0).fit(*rows)
    assert predict(new_MS) == pytest.approx(expected, abs=2e-4)


def test_features_are_logarithms_above_a_floor() -> None:
    assert features(np.array([[0.0, 0.25]]))[0] == pytest.approx([np.log(0.01), np.log(0.26)])


def test_a_planted_law_is_ordered_better_than_by_ridge() -> None:
    new_MS = planted(200, seed=5).weights_MS
    rows = planted(64, seed=4, sd=0.01)
    process, ridge = GaussianProcess(restarts=2, seed=0), Ridge(penalty=0.01)
    error, rival = (np.abs(one.fit(*rows)(new_MS) - law(new_MS)).mean() for one in (process, ridge))
    assert np.corrcoef(process.fit(*rows)(new_MS), law(new_MS))[0, 1] > 0.99
    assert error < rival


def test_what_is_far_from_all_is_the_mean() -> None:
    near = np.array([[0.5, 0.5, 0.0], [0.49, 0.51, 0.0], [0.51, 0.49, 0.0], [0.48, 0.52, 0.0]])
    loss_M = np.array([3.0, 3.1, 2.9, 3.2])
    predict = GaussianProcess(restarts=0, seed=0).fit(near, loss_M)
    assert predict(np.array([[0.0, 0.0, 1.0]])) == pytest.approx(loss_M.mean(), abs=0.02)


def test_equal_losses_stay_equal_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    rows = planted(20, seed=3)
    predict = GaussianProcess(restarts=1, seed=0).fit(rows.weights_MS, np.full(20, 2.5))
    assert predict(rows.weights_MS) == pytest.approx(2.5)
    assert len(recwarn) == 0


def test_fewer_restarts_than_none_are_refused() -> None:
    with pytest.raises(ValueError, match="restarts: expected at least 0, got -1"):
        GaussianProcess(restarts=-1, seed=0)
