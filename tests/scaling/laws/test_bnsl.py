"""The broken law at points, and the power laws that it is far from its breaks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import LEAST, Case, at
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.bnsl import Bnsl

ONE_BREAK = (1.0, 2.0, 0.1, 1e4, 0.3, 0.5)  # a, b, c_0, d_1, c_1, f_1

CASE = Case(Bnsl(), ONE_BREAK, {"N": np.geomspace(10, 1e8, 60)}, {"N": 1e9})


@pytest.mark.parametrize(("n", "loss"), [(1e3, 2.000879), (1e6, 1.126190)])
def test_points(n: float, loss: float) -> None:
    found = Bnsl().predict(np.array([ONE_BREAK]), at(N=n))
    np.testing.assert_allclose(found, [[loss]], atol=5e-7)


@pytest.mark.parametrize(("n", "exponent"), [(1e-8, 0.1), (1e7, 0.4), (1e13, 0.15)])
def test_exponents_between_two_breaks(n: float, exponent: float) -> None:
    theta = np.array([(0.0, *ONE_BREAK[1:], 1e10, -0.25, 0.3)])
    one, ten = (Bnsl("N", 2).predict(theta, at(N=each))[0, 0] for each in (n, 10 * n))
    np.testing.assert_allclose(np.log10(one / ten), exponent, atol=1e-3)


def test_two_breaks_are_recovered_from_exact_losses() -> None:
    truth = (0.5, 4.0, 0.05, 1e3, 0.4, 0.4, 1e7, -0.3, 0.4)
    x = {"D": np.geomspace(10, 1e10, 80)}
    loss = Bnsl("D", 2).predict(np.array([truth]), x)[0]
    fitted = fit(Bnsl("D", 2), x, loss, **LEAST)
    np.testing.assert_allclose(list(fitted.parameters.values()), truth, rtol=1e-3)


def test_a_law_without_a_break_is_refused() -> None:
    with pytest.raises(ValueError, match="bnsl: expected 1 or more breaks; got 0"):
        Bnsl("N", 0)
