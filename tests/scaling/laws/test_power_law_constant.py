"""mu-Scaling's ten widths: the published fit of the first seven, and its held-out errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import LEAST, Case
from windtunnel.scaling.fit import fit
from windtunnel.scaling.interval import coefficient_intervals, predict
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

# Yao and Wang 2023, arXiv 2304.06875: 12-layer GPT-2 at 20,000 steps, widths 128 to 3072; figures
# as printed in fit_scale_loss_prediction.py of github.com/cofe-ai/Mu-scaling. N in 2^20.
N_MI = np.array([8.53, 21.56, 39.09, 61.12, 87.65, 118.68, 154.21, 194.24, 676.48, 1446.72])
LOSS = np.array([3.9181, 3.6054, 3.4431, 3.3542, 3.2902, 3.2478, 3.224, 3.1797, 3.0854, 3.0425])

CASE = Case(
    PowerLawConstant(), (2.469, -0.423, 2.923), {"N": np.geomspace(5, 600, 20)}, {"N": 3000.0}
)


def test_first_seven_widths_give_the_published_coefficients() -> None:
    fitted = fit(PowerLawConstant(), {"N": N_MI[:7]}, LOSS[:7], **LEAST)
    found = [fitted.parameters[name] for name in "abc"]
    np.testing.assert_allclose(found, [2.469, -0.423, 2.923], rtol=5e-3)
    np.testing.assert_allclose(found, [2.46943, -0.42311, 2.92330], atol=6e-6)
    np.testing.assert_allclose(list(fitted.errors.values()), [0.071, 0.028, 0.038], atol=5e-4)
    np.testing.assert_allclose(fitted.rms, 0.0053, atol=5e-5)
    assert fitted.converged
    assert not fitted.warnings


def test_first_seven_widths_predict_the_last_three() -> None:
    fitted = fit(PowerLawConstant(), {"N": N_MI[:7]}, LOSS[:7], **LEAST)
    error_percent = 100 * (fitted.predict({"N": N_MI[7:]}) / LOSS[7:] - 1)
    np.testing.assert_allclose(error_percent, [0.292, -0.175, -0.184], atol=0.02)


@pytest.mark.parametrize("method", ["profile", "bootstrap_residual", "bootstrap_parametric"])
def test_the_last_three_lie_in_their_intervals(method: str) -> None:
    fitted = fit(PowerLawConstant(), {"N": N_MI[:7]}, LOSS[:7], **LEAST)
    settings = {"level": 0.9, "method": method, "n_resamples": 500, "seed": 1}
    for n, loss in zip(N_MI[7:], LOSS[7:], strict=True):
        found = predict(fitted, {"N": n}, n_target_seeds=1, **settings)
        assert found.low < loss < found.high
        assert found.high - found.low < 0.1
    c = coefficient_intervals(fitted, **settings)["c"]
    assert 2.8 < c.low < 2.93353 < c.high < 3.05  # the fit of all ten widths


def test_all_ten_widths() -> None:
    fitted = fit(PowerLawConstant(), {"N": N_MI}, LOSS, **LEAST)
    found = [fitted.parameters[name] for name in "abc"]
    np.testing.assert_allclose(found, [2.49652, -0.43241, 2.93353], atol=6e-6)


@pytest.mark.parametrize("unit", [2.0**20, 1e-6, 1e12])
def test_the_unit_of_n_changes_nothing_but_a(unit: float) -> None:
    plain = fit(PowerLawConstant(), {"N": N_MI[:7]}, LOSS[:7], **LEAST)
    other = fit(PowerLawConstant(), {"N": N_MI[:7] * unit}, LOSS[:7], **LEAST)
    for name in "bc":
        np.testing.assert_allclose(other.parameters[name], plain.parameters[name], rtol=1e-6)
        np.testing.assert_allclose(other.errors[name], plain.errors[name], rtol=1e-6)
    b = plain.parameters["b"]
    np.testing.assert_allclose(other.parameters["a"], plain.parameters["a"] * unit**-b, rtol=1e-5)
    settings = {"level": 0.9, "n_resamples": 200, "n_target_seeds": 1, "seed": 3}
    for method in ("profile", "bootstrap_residual"):
        one = predict(plain, {"N": 1446.72}, method=method, **settings)
        two = predict(other, {"N": 1446.72 * unit}, method=method, **settings)
        np.testing.assert_allclose([two.low, two.high], [one.low, one.high], rtol=1e-5)
