"""MiniCPM's compute-optimal model: nothing on the curve of equal compute is better."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.minicpm import MiniCPM, optimum

HOFFMANN = (406.4, 410.7, 1.69, 0.34, 0.28)  # Hoffmann et al. 2022, arXiv 2203.15556, equation 10
NAMES = ("C_N", "C_D", "L_0", "alpha", "beta")

CASE = Case(
    MiniCPM(),
    HOFFMANN,
    grid(N=np.geomspace(5e7, 1e10, 6), D=np.geomspace(1e9, 3e11, 6)),
    {"N": 7e10, "D": 1.4e12},
)


def test_point() -> None:
    found = MiniCPM().predict(np.array([HOFFMANN]), at(N=7e10, D=1.4e12))
    np.testing.assert_allclose(found, [[1.93665]], atol=5e-6)


@pytest.mark.parametrize("flops", [1e18, 5.76e23])
def test_no_other_size_is_better(flops: float) -> None:
    best = optimum(dict(zip(NAMES, HOFFMANN, strict=True)), flops)
    np.testing.assert_allclose(6 * best.n_parameters * best.n_tokens, flops, rtol=1e-12)
    others = best.n_parameters * np.geomspace(0.1, 10, 1001)
    loss = MiniCPM().predict(np.array([HOFFMANN]), {"N": others, "D": flops / 6 / others})[0]
    assert loss.argmin() == 500


def test_the_optimum_of_the_published_chinchilla_coefficients() -> None:
    best = optimum(dict(zip(NAMES, HOFFMANN, strict=True)), 5.76e23)
    np.testing.assert_allclose(best.n_parameters, 3.22e10, rtol=1e-3)
    np.testing.assert_allclose(best.n_tokens / best.n_parameters, 92.6, atol=0.05)
    product = 5.76e23 / 6
    ratio = best.K**2 * product**best.eta
    np.testing.assert_allclose(best.n_parameters / best.n_tokens, ratio, rtol=1e-12)


def test_equal_exponents_keep_the_ratio_at_every_budget() -> None:
    parameters = dict(zip(NAMES, (400.0, 100.0, 1.7, 0.3, 0.3), strict=True))
    for flops in (1e18, 1e24):
        best = optimum(parameters, flops)
        assert best.eta == 0.0
        np.testing.assert_allclose(best.n_parameters / best.n_tokens, 4 ** (2 / 0.6), rtol=1e-12)


def test_a_law_that_stopped_falling_has_no_optimum() -> None:
    parameters = dict(zip(NAMES, (400.0, 0.0, 1.7, 0.3, 0.3), strict=True))
    with pytest.raises(ValueError, match="optimum: expected C_N, C_D, alpha and beta above 0"):
        optimum(parameters, 1e20)
