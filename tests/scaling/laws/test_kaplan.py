"""Kaplan's joint law at points of his coefficients, and its two limits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.kaplan import Kaplan

# Kaplan et al. 2020, arXiv 2001.08361, equations 1.1 and 1.2: N_c, D_c, alpha_N, alpha_D
KAPLAN = (8.8e13, 5.4e13, 0.076, 0.095)

CASE = Case(
    Kaplan(),
    KAPLAN,
    grid(N=np.geomspace(1e6, 3e9, 6), D=np.geomspace(1e8, 1e11, 6)),
    {"N": 3e10, "D": 5e11},
)


@pytest.mark.parametrize(
    ("n", "d", "loss"),
    [(1e8, 1e10, 2.85442), (1e9, 2.2e10, 2.43054), (1e9, 1e40, 2.37564)],
)
def test_points(n: float, d: float, loss: float) -> None:
    found = Kaplan().predict(np.array([KAPLAN]), at(N=n, D=d))
    np.testing.assert_allclose(found, [[loss]], atol=5e-6)


def test_an_endless_model_follows_the_law_of_the_data() -> None:
    found = Kaplan().predict(np.array([KAPLAN]), at(N=1e300, D=1e10))
    np.testing.assert_allclose(found, [[(5.4e13 / 1e10) ** 0.095]], rtol=1e-12)
