"""The law of a language family's share, and the shares that are best."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.multilingual import Multilingual, optimal_shares

HOFFMANN = (406.4, 410.7, 1.69, 0.34, 0.28)  # Hoffmann et al. 2022, arXiv 2203.15556, equation 10

CASE = Case(
    Multilingual(),
    (*HOFFMANN, 0.1),
    grid(N=np.geomspace(5e7, 5e9, 4), D=np.geomspace(1e9, 1e11, 4), p=np.geomspace(0.05, 1, 4)),
    {"N": 3e10, "D": 1e12, "p": 0.3},
)
WEIGHTS, GAMMA, LOSS = np.array([0.5, 0.2, 0.3]), np.array([0.05, 0.4, 0.12]), np.array([2, 1.5, 3])


def test_the_share_multiplies_the_constant_too() -> None:
    theta = np.array([(*HOFFMANN, 0.1)])
    alone = Multilingual().predict(theta, at(N=1e9, D=2e10, p=1.0))
    np.testing.assert_allclose(alone, [[2.58005]], atol=5e-6)
    third = Multilingual().predict(theta, at(N=1e9, D=2e10, p=1 / 3))
    np.testing.assert_allclose(third, alone * 3**0.1, rtol=1e-13)


def test_optimal_shares_are_stationary() -> None:
    share = optimal_shares(WEIGHTS, GAMMA, LOSS)
    np.testing.assert_allclose(share.sum(), 1.0, rtol=1e-14)
    slope = share ** (1 + GAMMA) / (WEIGHTS * GAMMA * LOSS)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-10)


def test_no_other_shares_are_better() -> None:
    def total(share_SF: np.ndarray) -> np.ndarray:
        return (WEIGHTS * LOSS * share_SF**-GAMMA).sum(axis=-1)

    others = np.random.default_rng(0).dirichlet(np.ones(3), 10_000)
    assert total(optimal_shares(WEIGHTS, GAMMA, LOSS)) < total(others).min()


def test_shares_in_closed_form() -> None:
    equal = optimal_shares(np.array([1.0, 3.0]), np.array([0.2, 0.2]), np.array([2.0, 2.0]))
    np.testing.assert_allclose(equal[1] / equal[0], 3 ** (1 / 1.2), rtol=1e-12)
    np.testing.assert_allclose(optimal_shares([1.0], [0.3], [2.0]), [1.0])


def test_a_family_that_does_not_count_is_refused() -> None:
    with pytest.raises(ValueError, match="shares: expected weights, gamma and losses above 0"):
        optimal_shares(np.array([1.0, 0.0]), np.array([0.2, 0.2]), np.array([2.0, 2.0]))
