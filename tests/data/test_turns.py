from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.turns import Turns

WITHIN = 1 + 1e-5  # the bound of the docstring, and the rounding of times


def constant(weights: list[float]) -> Turns:
    row = np.array(weights) / sum(weights)
    return Turns(np.array([0.0, 1.0]), np.stack([row, row]))


def most_off(turns: Turns, asked_GN: np.ndarray) -> float:
    """Largest distance of a group's count from what is asked, at any step."""
    n = asked_GN.shape[1] - 1
    groups, _ = turns.at(0, n)
    counts = (groups == np.arange(len(asked_GN))[:, None]).cumsum(1)
    return float(np.abs(counts - asked_GN[:, 1:]).max())


weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-4, 1.0)), min_size=2, max_size=12)


@given(weights=weights.filter(lambda w: sum(w) > 0), n=st.integers(1, 2000))
@settings(max_examples=30, deadline=None)
def test_fixed_proportions_hold_at_every_step(weights: list[float], n: int) -> None:
    turns = constant(weights)
    row = np.array(weights) / sum(weights)
    assert most_off(turns, row[:, None] * np.arange(n + 1)) < WITHIN
    groups, _ = turns.at(0, n)
    assert (row[groups] > 0).all()


@given(
    rows=st.lists(
        st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).filter(lambda w: sum(w) > 0.01),
        min_size=2,
        max_size=5,
    ),
    spans=st.lists(st.integers(1, 500), min_size=5, max_size=5),
    jumps=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_changing_proportions_hold_at_every_step(
    rows: list[list[float]], spans: list[int], jumps: bool
) -> None:
    weights = np.array(rows) / np.sum(rows, 1, keepdims=True)
    knots = np.concatenate([[0], np.cumsum(spans[: len(rows) - 1])]).astype(float)
    if jumps:
        knots, weights = np.repeat(knots, 2)[1:], np.repeat(weights, 2, axis=0)[:-1]
    n = int(knots[-1]) + 100  # and on from there, as it was at the end
    # The trapezoid rule is exact between knots, which are whole numbers; a jump counts from it on.
    fine = np.arange(n + 1)
    asked = np.zeros((4, n + 1))
    for i in range(n):
        k = np.searchsorted(knots, i, side="right") - 1
        if k + 1 < len(knots):
            at = [(x - knots[k]) / (knots[k + 1] - knots[k]) for x in (i, i + 1)]
            ends = [weights[k] + t * (weights[k + 1] - weights[k]) for t in at]
        else:
            ends = [weights[-1], weights[-1]]
        asked[:, i + 1] = asked[:, i] + (ends[0] + ends[1]) / 2
    turns = Turns(knots, weights)
    assert np.stack([turns.asked(int(i)) for i in fine], 1) == pytest.approx(asked, abs=1e-8)
    assert most_off(turns, asked) < WITHIN


def test_equal_weights_go_round() -> None:
    assert constant([1, 1, 1]).at(0, 7)[0].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_visits_count_a_group_s_own_sequences() -> None:
    groups, visits = constant([3, 1, 2]).at(0, 9000)
    for g in range(3):
        own = visits[groups == g]
        assert own.tolist() == list(range(len(own)))


def test_any_stretch_is_that_of_the_whole() -> None:
    whole = constant([5, 1, 0.3, 2]).at(0, 30_000)
    for first, last in ((29_000, 29_100), (0, 5), (4090, 4100), (8192, 8193), (17, 9000), (0, 5)):
        for part, all_of in zip(constant([5, 1, 0.3, 2]).at(first, last), whole, strict=True):
            assert part.tolist() == all_of[first:last].tolist()
    turns = constant([5, 1, 0.3, 2])
    for first in reversed(range(0, 30_000, 1000)):  # backwards, through blocks that were dropped
        assert turns.at(first, first + 10)[0].tolist() == whole[0][first : first + 10].tolist()


def test_one_group_takes_every_turn() -> None:
    groups, visits = Turns(np.array([0.0, 1.0]), np.ones((2, 1))).at(10**12, 10**12 + 3)
    assert groups.tolist() == [0, 0, 0]
    assert visits.tolist() == [10**12, 10**12 + 1, 10**12 + 2]


def test_a_phase_without_a_group_has_none_of_it() -> None:
    weights = np.array([[1.0, 0.0], [1.0, 0.0], [0.2, 0.8], [0.2, 0.8]])
    groups, _ = Turns(np.array([0.0, 100.0, 100.0, 200.0]), weights).at(0, 300)
    assert groups[:100].sum() == 0
    assert groups[100:200].sum() == 80
    assert groups[200:300].sum() == 80


def test_turns_cost_microseconds() -> None:
    turns = constant(list(range(1, 19)))
    start = time.process_time()
    turns.at(0, 40_000)
    assert time.process_time() - start < 40_000 * 15e-6
