"""Baselines and the leave-largest-out score against what they are by definition."""

from __future__ import annotations

import numpy as np

from windtunnel.scaling.compare import (
    baselines,
    copy_largest,
    held_out_score,
    largest,
    leave_largest_out,
)
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

LEAST = {"loss_kind": "least_squares", "delta": None}
N = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 16.0])
LOSS = 1.5 * N**-0.5 + 3 + np.array([0, 0, 0, 0, 0.02, -0.01])


def test_the_largest_is_the_mean_over_its_seeds() -> None:
    np.testing.assert_allclose(copy_largest({"N": N}, LOSS, "N"), 3.375 + 0.005)


def test_baselines() -> None:
    found = baselines({"N": N}, LOSS, {"N": 64.0}, "N", **LEAST)
    plain = fit(PowerLaw(), {"N": N}, LOSS, **LEAST)
    assert found["copy_largest"] == copy_largest({"N": N}, LOSS, "N")
    np.testing.assert_allclose(found["power_law"], plain.predict({"N": 64.0})[0])
    assert found["power_law"] < 1.5 / 8 + 3 < found["copy_largest"]


def test_the_largest_is_predicted_from_the_others() -> None:
    found = leave_largest_out(PowerLawConstant(), {"N": N}, LOSS, "N", **LEAST)
    assert found is not None
    np.testing.assert_allclose(found.predicted, 3.375, rtol=1e-6)
    np.testing.assert_allclose(found.actual, 3.38, rtol=1e-9)
    np.testing.assert_allclose(found.error, 3.375 / 3.38 - 1, rtol=1e-4)


def test_weights_count_as_seeds() -> None:
    weights = np.array([1, 1, 1, 1, 3, 1])
    found = leave_largest_out(PowerLawConstant(), {"N": N}, LOSS, "N", weights=weights, **LEAST)
    assert found is not None
    np.testing.assert_allclose(found.actual, 3.375 + (3 * 0.02 - 0.01) / 4, rtol=1e-9)


def test_too_few_others_give_no_score() -> None:
    few = slice(2, None)
    assert leave_largest_out(PowerLawConstant(), {"N": N[few]}, LOSS[few], "N", **LEAST) is None


def test_the_largest_tenth() -> None:
    n = np.geomspace(1.0, 100.0, 25)
    assert np.flatnonzero(largest(PowerLawConstant(), {"N": n})).tolist() == [23, 24]
    assert np.flatnonzero(largest(PowerLawConstant(), {"N": N})).tolist() == [4, 5]
    x = {"N": np.array([1.0, 9.0, 2.0]), "D": np.array([9.0, 2.0, 5.0])}
    assert largest(by_name("chinchilla"), x).tolist() == [False, True, False]
    assert largest(by_name("error"), {"L": np.array([3.0, 2.0, 4.0])}).tolist() == [
        False,
        True,
        False,
    ]
    assert largest(PowerLaw("width"), {"width": np.array([1.0, 3.0])}).tolist() == [False, True]


def test_runs_held_out_are_predicted_from_the_others() -> None:
    held = N >= 16
    found = held_out_score(PowerLawConstant(), {"N": N}, LOSS, held, **LEAST)
    assert found.rows == 2
    errors = 3.375 / LOSS[held] - 1
    np.testing.assert_allclose(found.mape, np.abs(errors).mean(), rtol=1e-4)
    np.testing.assert_allclose(found.max_error, errors[0], rtol=1e-4)
    assert found.max_error < 0
