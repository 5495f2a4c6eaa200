"""Models pruned while they train: the mean density of a ramp, and the law in it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.average_parameters import AverageParameters, density, mean_density

EPOCH = (482.01, 2085.43, 1.8172, 0.3478, 0.3658)  # Besiroglu et al. 2024, arXiv 2404.10102

CASE = Case(
    AverageParameters(),
    EPOCH,
    grid(N_avg=np.geomspace(5e7, 1e10, 6), D=np.geomspace(1e9, 3e11, 6)),
    {"N_avg": 7e10, "D": 1.4e12},
)


@pytest.mark.parametrize(("sparsity", "mean"), [(0.2, 0.875), (0.5, 0.6875), (0.8, 0.5)])
def test_mean_density_of_the_cubic_ramp_of_the_paper(sparsity: float, mean: float) -> None:
    np.testing.assert_allclose(mean_density(sparsity, 0.25, 0.75, 3), mean, rtol=1e-14)


def test_mean_density_of_a_linear_ramp() -> None:
    np.testing.assert_allclose(mean_density(0.6, 0.25, 0.75, 1), 1 - 0.5 * 0.6, rtol=1e-14)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.25, 0.75), (0.1, 0.4)])
def test_mean_density_is_the_mean_of_the_density(power: int, start: float, end: float) -> None:
    steps = (np.arange(100_000) + 0.5) / 100_000
    density_T = density(steps, 0.7, start, end, power)
    np.testing.assert_allclose(density_T.mean(), mean_density(0.7, start, end, power), rtol=1e-8)
    assert density_T[0] <= 1.0
    np.testing.assert_allclose(density_T[-1], 0.3, rtol=1e-4)


def test_point_of_a_dense_model() -> None:
    found = AverageParameters().predict(np.array([EPOCH]), at(N_avg=7e10, D=1.4e12))
    np.testing.assert_allclose(found, [[1.97388]], atol=5e-6)
