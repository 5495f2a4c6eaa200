from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.sampler import ShuffledRows, permute, round_keys


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**32), epoch=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_permutes(n: int, seed: int, epoch: int) -> None:
    images = permute(np.arange(n), n, round_keys(seed, epoch))
    assert sorted(images) == list(range(n))


def test_every_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    sampler = ShuffledRows(n_rows=30, n_batch=7, seed=1)
    rows = np.concatenate([sampler.rows(k) for k in range(30)]).reshape(7, 30)
    assert all(sorted(epoch) == list(range(30)) for epoch in rows)
    assert len({tuple(epoch) for epoch in rows}) == 7


def test_is_a_function_of_seed_and_step() -> None:
    one, two, other = (ShuffledRows(n_rows=1000, n_batch=8, seed=s) for s in (1, 1, 2))
    forward = [one.rows(k).tolist() for k in range(20)]
    assert [two.rows(k).tolist() for k in reversed(range(20))][::-1] == forward
    assert other.rows(0).tolist() != forward[0]


def test_batches_of_any_size_cut_one_and_the_same_order() -> None:
    small, large = (ShuffledRows(n_rows=50, n_batch=n, seed=1) for n in (3, 12))
    parts = np.concatenate([small.rows(4 * 9 + i) for i in range(4)])
    assert parts.tolist() == large.rows(9).tolist()


def test_a_batch_larger_than_the_data_takes_several_epochs() -> None:
    rows = ShuffledRows(n_rows=3, n_batch=9, seed=1).rows(0)
    assert sorted(rows) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("n", [97, 256, 1000])
def test_shuffles_as_a_random_permutation_would(n: int) -> None:
    draws = np.stack([permute(np.arange(n), n, round_keys(s, 0)) for s in range(400)])
    # Each image is uniform: its mean over 400 draws has a standard deviation of n / sqrt(12 * 400).
    assert np.abs(draws.mean(0) - (n - 1) / 2).max() < 4.5 * n / np.sqrt(12 * 400)
    # Neighbours are independent: correlation about 0 +- 1 / sqrt(400 n).
    shifted = np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]
    assert abs(shifted + 1 / n) < 5 / np.sqrt(400 * n)
    fixed = (draws == np.arange(n)).sum(1)
    assert abs(fixed.mean() - 1) < 0.25  # one fixed point on average, variance 1


def test_large_data_costs_no_memory() -> None:
    rows = ShuffledRows(n_rows=10**12, n_batch=64, seed=1).rows(10**9)
    assert len(set(rows.tolist())) == 64
    assert 0 <= rows.min() <= rows.max() < 10**12


def test_no_difference_between_rows_outlives_the_key() -> None:
    # Two rounds of a Feistel network would keep the difference of the left halves of 0 and 32.
    pairs = np.stack([permute(np.array([0, 32]), 1024, round_keys(s, 0)) // 32 for s in range(300)])
    differences = (pairs[:, 0] - pairs[:, 1]) % 32
    counts = np.bincount(differences, minlength=32)
    assert ((counts - 300 / 32) ** 2 / (300 / 32)).sum() < 62  # chi-squared, 31 degrees: 0.1 %
