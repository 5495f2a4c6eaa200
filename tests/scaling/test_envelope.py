"""Approach 1 on curves of a known law, against the closed form of its optimum."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.envelope import best_sizes, envelope
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.optimum import best_size, joint

EPOCH = np.array([[482.01, 2085.43, 1.8172, 0.3478, 0.3658]])  # Besiroglu et al. 2024, 2404.10102
EXPONENT = 0.3658 / (0.3478 + 0.3658)


def curves(n_sizes: int, n_points: int = 60) -> tuple[np.ndarray, ...]:
    """One curve per size over three decades of FLOPs."""
    N = np.repeat(np.geomspace(3e7, 3e10, n_sizes), n_points)
    C = np.tile(np.geomspace(1e18, 1e22, n_points), n_sizes)
    loss = Chinchilla().predict(EPOCH, {"N": N, "D": C / 6 / N})[0]
    return np.round(np.log(N), 6), N, C, loss


def test_the_line_of_a_known_law() -> None:
    found = envelope(*curves(60), 20, np.random.default_rng(0))
    np.testing.assert_allclose(found.exponent, EXPONENT, rtol=0.02)
    optimum = found.optimum(1e21, 0.9)
    truth = float(np.exp(best_size(joint(Chinchilla(), EPOCH), 1e21)[0]))
    np.testing.assert_allclose(optimum.N, truth, rtol=0.03)
    assert optimum.N_low < truth < optimum.N_high


def test_the_order_of_the_points_does_not_matter() -> None:
    columns = curves(20)
    order = np.random.default_rng(1).permutation(len(columns[0]))
    first, second = (
        envelope(*(c[rows] for c in columns), 1, np.random.default_rng(0))
        for rows in (slice(None), order)
    )
    np.testing.assert_allclose(first.exponent, second.exponent, rtol=1e-12)


def test_the_smallest_and_the_largest_are_no_optimum() -> None:
    loss_QK = np.array([[1, 3, 3, np.inf], [2, 2, 2, 2], [3, 1, 1, 1], [4, 4, np.inf, 4.0]])
    N_Q = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(best_sizes(N_Q, loss_QK), [np.nan, 3, np.nan, 3])


def test_what_is_left_out_is_said() -> None:
    found = envelope(*curves(12), 30, np.random.default_rng(0))
    shared = "budgets were left out: their best run is the smallest or the largest there"
    few = curves(7)
    keep = few[2] < 1e21
    sparse = envelope(*(c[keep] for c in few), 30, np.random.default_rng(0))
    assert all(shared not in words for words in found.left_out)
    assert any("resamples hold too few sizes" in words for words in sparse.left_out)
    assert len(sparse.draws_R2) < 30


def test_too_few_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"envelope: expected 3 sizes .* got 1 of 3 sizes"):
        envelope(*curves(3), 5, np.random.default_rng(0))
