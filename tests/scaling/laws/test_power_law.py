"""Kaplan's law of parameters at a point that his coefficients give."""

from __future__ import annotations

import numpy as np

from tests.scaling.laws.cases import Case
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.power_law import PowerLaw

N_C, ALPHA_N = 8.8e13, 0.076  # Kaplan et al. 2020, arXiv 2001.08361, equation 1.1

CASE = Case(PowerLaw(), (N_C**ALPHA_N, -ALPHA_N), {"N": np.geomspace(1e6, 1e9, 12)}, {"N": 1e10})


def test_point_of_kaplan() -> None:
    theta_SP = np.array([[N_C**ALPHA_N, -ALPHA_N]])
    loss = PowerLaw("N").predict(theta_SP, {"N": np.array([1e9])})
    np.testing.assert_allclose(loss, [[2.37564]], atol=5e-6)


def test_two_points_fix_it_in_closed_form() -> None:
    fitted = fit(
        PowerLaw("C"),
        {"C": np.array([10.0, 1000.0])},
        np.array([4.0, 1.0]),
        loss_kind="least_squares",
        delta=None,
    )
    b = -np.log(4) / np.log(100)
    np.testing.assert_allclose(fitted.parameters["b"], b, rtol=1e-8)
    np.testing.assert_allclose(fitted.parameters["a"], 4 * 10**-b, rtol=1e-8)
