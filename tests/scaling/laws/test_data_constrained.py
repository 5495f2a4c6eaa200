"""The law of repeated data: published check values, and the limits in which it is Chinchilla's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.data_constrained import DataConstrained, effective
from windtunnel.scaling.laws.minicpm import optimum

# Muennighoff et al. 2023, arXiv 2305.16264, as printed in github.com/huggingface/datablations:
# A, B, E, alpha, beta, R*_D, R*_N
A, B, E = np.exp([6.255414, 7.3049974, 0.6254804])
PUBLISHED = (A, B, E, 0.3526596, 0.3526596, 15.387756, 5.309743)


def repeated() -> dict[str, np.ndarray]:
    """Four sizes, four amounts of unique tokens, 1 to 64 epochs of each."""
    x = grid(N=np.geomspace(1e8, 1e10, 4), U=np.geomspace(1e8, 1e10, 4), epochs=4.0 ** np.arange(4))
    return {"N": x["N"], "D": x["U"] * x["epochs"], "U": x["U"]}


CASE = Case(DataConstrained(), PUBLISHED, repeated(), {"N": 2e10, "D": 2e11, "U": 2e10})


@pytest.mark.parametrize(
    ("n", "d", "u", "loss"),
    [(6.34e9, 242e9, 25e9, 2.2256440889984477), (8.67e9, 178e9, 25e9, 2.2269634075087867)],
)
def test_published_check_values(n: float, d: float, u: float, loss: float) -> None:
    found = DataConstrained().predict(np.array([PUBLISHED]), at(N=n, D=d, U=u))
    np.testing.assert_allclose(found, [[loss]], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("n", "d", "u", "loss"),
    [
        (1e8, 2e9, 2e9, 3.43572),
        (1e9, 2e10, 2e10, 2.56464),
        (1e9, 2e10, 5e9, 2.59746),
        (1e9, 2e10, 1e9, 2.81044),
    ],
)
def test_points(n: float, d: float, u: float, loss: float) -> None:
    found = DataConstrained().predict(np.array([PUBLISHED]), at(N=n, D=d, U=u))
    np.testing.assert_allclose(found, [[loss]], atol=5e-6)


@pytest.mark.parametrize("unique", [1.0, 7.0])
def test_without_repetition_or_excess_it_is_chinchilla(unique: float) -> None:
    """Tokens that were not trained on do not count: U above D is U = D."""
    x = grid(N=np.geomspace(1e6, 1e8, 4), D=np.geomspace(1e10, 1e12, 4))
    found = DataConstrained().predict(np.array([PUBLISHED]), x | {"U": x["D"] * unique})
    expected = Chinchilla().predict(np.array([PUBLISHED[:5]]), x)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_up_to_the_compute_optimal_size_parameters_count_fully_and_past_it_less() -> None:
    best = optimum({"C_N": A, "C_D": B, "alpha": PUBLISHED[3], "beta": PUBLISHED[4]}, 1e21)
    sizes = best.n_parameters * np.array([0.5, 0.999, 1.01, 2.0])
    x = {"N": sizes, "D": np.full(4, best.n_tokens), "U": np.full(4, best.n_tokens)}
    plain = Chinchilla().predict(np.array([PUBLISHED[:5]]), x)[0]
    found = DataConstrained().predict(np.array([PUBLISHED]), x)[0]
    np.testing.assert_allclose(found[:2], plain[:2], rtol=1e-12)
    assert (found[2:] > plain[2:]).all()
    nothing = DataConstrained().predict(np.array([(*PUBLISHED[:6], 1e-6)]), x)[0]
    at_best = Chinchilla().predict(
        np.array([PUBLISHED[:5]]), at(N=best.n_parameters, D=best.n_tokens)
    )
    np.testing.assert_allclose(nothing[2:], at_best[0, 0], rtol=1e-6)


def test_repetitions_are_worth_ever_less() -> None:
    tokens = effective(np.arange(1.0, 2001.0), np.array(1.0), 15.0)
    assert tokens[0] == 1.0
    np.testing.assert_allclose(tokens[1], 1.967, atol=1e-3)  # the second epoch counts 97 %
    assert (np.diff(tokens)[:300] > 0).all()
    assert (np.diff(tokens, 2) <= 1e-12).all()
    np.testing.assert_allclose(tokens[-1], 16.0, rtol=1e-12)
