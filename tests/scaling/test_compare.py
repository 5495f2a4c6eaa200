"""Baselines and the leave-largest-out score against what they are by definition."""

from __future__ import annotations

import numpy as np

from windtunnel.scaling.compare import baselines, copy_largest, leave_largest_out
from windtunnel.scaling.fit import fit
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
