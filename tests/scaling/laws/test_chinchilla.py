"""The Chinchilla law: points of its published coefficients, and their recovery."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, grid
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.chinchilla import Chinchilla

HOFFMANN = (406.4, 410.7, 1.69, 0.34, 0.28)  # Hoffmann et al. 2022, arXiv 2203.15556, equation 10
EPOCH = (482.01, 2085.43, 1.8172, 0.3478, 0.3658)  # Besiroglu et al. 2024, arXiv 2404.10102

CASE = Case(
    Chinchilla(),
    EPOCH,
    grid(N=np.geomspace(5e7, 1e10, 6), D=np.geomspace(1e9, 3e11, 6)),
    {"N": 7e10, "D": 1.4e12},
)


@pytest.mark.parametrize(
    ("theta", "n", "d", "loss"),
    [
        (HOFFMANN, 1e9, 2e10, 2.58005),
        (EPOCH, 1e9, 2e10, 2.53005),
        (HOFFMANN, 7e10, 1.4e12, 1.93665),
        (EPOCH, 7e10, 1.4e12, 1.97388),
    ],
)
def test_points(theta: tuple[float, ...], n: float, d: float, loss: float) -> None:
    found = Chinchilla().predict(np.array([theta]), {"N": np.array([n]), "D": np.array([d])})
    np.testing.assert_allclose(found, [[loss]], atol=1e-5)


@pytest.mark.parametrize("settings", [("least_squares", None), ("huber_log", 1e-3)])
@pytest.mark.parametrize("theta", [HOFFMANN, EPOCH])
def test_exact_losses_give_the_coefficients_back(theta: tuple[float, ...], settings: tuple) -> None:
    loss_M = Chinchilla().predict(np.array([theta]), CASE.x)[0]
    kind, delta = settings
    fitted = fit(Chinchilla(), CASE.x, loss_M, loss_kind=kind, delta=delta)
    np.testing.assert_allclose(list(fitted.parameters.values()), theta, rtol=1e-6)
    assert fitted.rms < 1e-8


@pytest.mark.parametrize("settings", [("least_squares", None), ("huber_log", 1e-3)])
def test_noisy_losses_give_the_constant_back(settings: tuple) -> None:
    kind, delta = settings
    loss_M = CASE.noisy(np.random.default_rng(5))
    fitted = fit(Chinchilla(), CASE.x, loss_M, loss_kind=kind, delta=delta)
    assert fitted.converged
    np.testing.assert_allclose(fitted.parameters["E"], EPOCH[2], rtol=0.03)
    for value, truth, error in zip(
        fitted.parameters.values(), EPOCH, fitted.errors.values(), strict=True
    ):
        assert abs(value - truth) < 4 * error
