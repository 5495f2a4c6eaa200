"""What a schedule leaves: its two areas, term by term, and its falls in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.schedule import block_edges, falls_before, features, without_warmup

RATES = np.array([1, 1, 0.5, 0.5, 0.25])


def test_areas_of_five_steps() -> None:
    areas = features(RATES, decay=0.9, n_warmup=0)
    np.testing.assert_allclose(areas.S1_T, [1, 2, 2.5, 3, 3.25], rtol=1e-14)
    np.testing.assert_allclose(areas.S2_T, [0, 0, 0.5, 0.95, 1.605], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_annealing_area_is_the_double_sum(decay: float) -> None:
    lr_T = np.random.default_rng(0).uniform(0.1, 1, 40)
    total, expected = 0.0, []
    for i in range(40):
        total += sum((lr_T[k - 1] - lr_T[k]) * decay ** (i - k) for k in range(1, i + 1))
        expected.append(total)
    np.testing.assert_allclose(features(lr_T, decay=decay, n_warmup=0).S2_T, expected, atol=1e-12)


def test_warmup_counts_as_the_rate_that_it_reaches() -> None:
    warm = features(np.array([0.0, 0.5, 1, 1, 0.5]), decay=0.9, n_warmup=2)
    flat = features(np.array([1, 1, 1, 1, 0.5]), decay=0.9, n_warmup=0)
    np.testing.assert_array_equal(warm.S1_T, flat.S1_T)
    np.testing.assert_array_equal(warm.S2_T, flat.S2_T)


def test_the_schedule_itself_stays_as_it_is() -> None:
    lr_T = np.array([0.0, 0.5, 1.0])
    assert without_warmup(lr_T, 2).tolist() == [1, 1, 1]
    assert lr_T.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("lr_T", "n_warmup", "decay", "said"),
    [
        (RATES, 0, 1.0, "decay: expected a number from 0 to below 1.*; got 1.0"),
        (RATES, 0, -0.1, "decay: .*; got -0.1"),
        (RATES, 5, 0.9, r"schedule: expected rates in one row.*got shape \(5,\) and n_warmup 5"),
        (RATES, -1, 0.9, "schedule: .*n_warmup -1"),
        (np.ones((2, 2)), 0, 0.9, r"schedule: .*got shape \(2, 2\)"),
        (np.array([1.0, -0.5]), 0, 0.9, "schedule: expected learning rates of 0 or more.*-0.5"),
        (np.array([1.0, np.nan]), 0, 0.9, "schedule: expected learning rates of 0 or more.*nan"),
        (np.array([0.0, 0.0, 1.0]), 1, 0.9, "schedule: .*0 after the warm-up"),
    ],
)
def test_what_is_refused(lr_T: np.ndarray, n_warmup: int, decay: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        features(lr_T, decay=decay, n_warmup=n_warmup)


@pytest.mark.parametrize("longest", [1, 10, 11, 300, 72_000])
def test_blocks_reach_as_far_as_they_must_and_grow_by_a_tenth(longest: int) -> None:
    edges = block_edges(longest)
    width = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] >= longest
    assert (width[:10] == 1).all()
    assert (width <= 0.1 * edges[:-1] + 1).all()


def test_blocks_keep_the_whole_fall() -> None:
    lr_s = np.geomspace(1.0, 0.01, 500)
    falls = falls_before(lr_s, block_edges(2000))
    np.testing.assert_allclose(falls.fall_K.sum(), 0.99, rtol=1e-12)


def test_the_last_falls_stand_alone() -> None:
    falls = falls_before(RATES, block_edges(5))
    np.testing.assert_allclose(falls.fall_K[:5], [0.25, 0, 0.5, 0, 0], atol=1e-15)
    np.testing.assert_allclose(falls.lr_K[[0, 2]], [0.25, 0.5], rtol=1e-14)
    np.testing.assert_allclose(falls.area_K[[0, 2]], [0.25, 1.25], rtol=1e-14)
    assert (falls.fall_K[5:] == 0).all()


def test_a_lone_fall_in_a_wide_block_keeps_its_place() -> None:
    lr_s = np.concatenate([np.full(400, 1.0), np.full(600, 0.1)])
    falls = falls_before(lr_s, block_edges(1000))
    (block,) = np.flatnonzero(falls.fall_K)
    np.testing.assert_allclose(falls.fall_K[block], 0.9, rtol=1e-12)
    np.testing.assert_allclose(falls.lr_K[block], 0.1, rtol=1e-12)
    np.testing.assert_allclose(falls.area_K[block], 60.0, rtol=1e-12)
