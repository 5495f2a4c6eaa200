"""Gadre's over-training form: its five RedPajama runs, and Chinchilla with equal exponents."""

from __future__ import annotations

import numpy as np

from tests.scaling.laws.cases import LEAST, Case, at, grid
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.gadre import Gadre

PUBLISHED = (212.0, 367.0, 0.136, 1.84)  # Gadre et al. 2024, arXiv 2403.08540: RedPajama, C4 loss

# Their five cheap runs on RedPajama, loss on C4: four models at M = 20 and the smallest at 320;
# as listed in exp_data of github.com/mlfoundations/scaling.
N = np.array([10569312, 78914048, 153677376, 411616256, 10569312.0])
D = N * np.array([20, 20, 20, 20, 320])
LOSS = np.array([5.38702, 3.89994, 3.53115, 3.14977, 4.57229])

CASE = Case(
    Gadre(),
    PUBLISHED,
    grid(N=np.geomspace(5e7, 1e10, 6), D=np.geomspace(1e9, 3e11, 6)),
    {"N": 7e10, "D": 1.4e12},
)


def test_it_is_the_formula_in_m_and_c() -> None:
    a, b, eta, E = PUBLISHED
    n, d = 4e8, 3e10
    M, C = d / n, 6 * n * d
    expected = E + (a * M**eta + b * M**-eta) * C**-eta
    found = Gadre().predict(np.array([PUBLISHED]), at(N=n, D=d))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-13)


def test_it_is_chinchilla_with_equal_exponents() -> None:
    a, b, eta, E = PUBLISHED
    joint = np.array([[a * 6**-eta, b * 6**-eta, E, 2 * eta, 2 * eta]])
    np.testing.assert_allclose(CASE.exact(), Chinchilla().predict(joint, CASE.x)[0], rtol=1e-13)


def test_five_cheap_runs_give_the_published_coefficients_and_predict_the_large_models() -> None:
    fitted = fit(Gadre(), {"N": N, "D": D}, LOSS, **LEAST)
    for found, published, last_digit in zip(
        fitted.parameters.values(), PUBLISHED, (1, 1, 1e-3, 1e-2), strict=True
    ):
        assert abs(found - published) <= last_digit / 2
    large = {
        "N": np.array([1439795200, 1439795200, 6889410560]),
        "D": np.array([28795904000, 921468928000, 137788211200]),
    }
    error_percent = 100 * (fitted.predict(large) / np.array([2.76876, 2.50205, 2.42499]) - 1)
    np.testing.assert_allclose(error_percent, [-0.11, 0.71, 0.73], atol=0.005)


def test_five_exact_runs_give_the_published_coefficients() -> None:
    loss = Gadre().predict(np.array([PUBLISHED]), {"N": N, "D": D})[0]
    fitted = fit(Gadre(), {"N": N, "D": D}, loss, **LEAST)
    np.testing.assert_allclose(list(fitted.parameters.values()), PUBLISHED, rtol=1e-5)
