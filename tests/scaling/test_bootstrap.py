"""Refits: their spread against the linear approximation, their number and their seed."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.bootstrap import Draw, resample
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.power_law import PowerLaw

N = np.geomspace(1.0, 100.0, 40)
DRAWS: tuple[Draw, ...] = ("residual", "parametric")


def fitted(sd: float) -> Fit:
    noise = sd * np.random.default_rng(4).standard_normal(40)
    return fit(PowerLaw(), {"N": N}, 4 * N**-0.1 + noise, loss_kind="least_squares", delta=None)


@pytest.mark.parametrize("draw", DRAWS)
def test_spread_of_the_refits_is_the_standard_error(draw: Draw) -> None:
    one = fitted(0.02)
    found = resample(one, draw, 4000, np.random.default_rng(0))
    theta_RP = one.law.rescale(found.scaled_RP, one.units)
    assert found.converged > 0.99
    np.testing.assert_allclose(theta_RP.mean(axis=0), list(one.parameters.values()), rtol=1e-2)
    widened = np.sqrt(38 / 36)  # standard deviation of Student's t with 38 degrees of freedom
    expected_P = widened * np.array(list(one.errors.values()))
    np.testing.assert_allclose(theta_RP.std(axis=0), expected_P, rtol=0.06)


@pytest.mark.parametrize("draw", DRAWS)
def test_the_same_seed_gives_the_same_refits(draw: Draw) -> None:
    first, again, other = (
        resample(fitted(0.02), draw, 20, np.random.default_rng(seed)).scaled_RP
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_degrees_of_freedom_is_refused() -> None:
    one = fit(PowerLaw(), {"N": N[:2]}, np.array([4.0, 3.9]), loss_kind="least_squares", delta=None)
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        resample(one, "residual", 20, np.random.default_rng(0))
