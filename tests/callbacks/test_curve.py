from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.callbacks.curve import Averager, stride_for


@given(n_steps=st.integers(1, 3000), n_points=st.integers(1, 400))
def test_never_more_points_than_asked_for_and_always_the_last(n_steps: int, n_points: int) -> None:
    series = Averager(stride_for(n_steps, n_points), tokens_per_step=7)
    for step in range(1, n_steps + 1):
        series.add(step, float(step))
    curve = series.curve()
    assert len(curve.tokens) == len(curve.values) <= n_points
    assert curve.tokens[-1] == 7 * n_steps
    assert curve.tokens == sorted(set(curve.tokens))


def test_points_are_means_over_the_steps_between() -> None:
    series = Averager(stride=2, tokens_per_step=10)
    for step, value in enumerate([1.0, 3.0, 5.0, 9.0, 4.0], 1):
        series.add(step, value)
    assert series.curve().tokens == [20, 40, 50]
    assert series.curve().values == [2.0, 7.0, 4.0]


def test_sparse_values_close_a_point_once_the_stride_has_passed() -> None:
    series = Averager(stride=3, tokens_per_step=1)
    for step in (2, 4, 6, 8):
        series.add(step, float(step))
    assert series.curve().tokens == [4, 8]
    assert series.curve().values == [3.0, 7.0]


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 9])
def test_goes_on_from_its_state(cut: int) -> None:
    whole = Averager(stride=4, tokens_per_step=10)
    part = Averager(stride=4, tokens_per_step=10)
    for step in range(1, 11):
        whole.add(step, step**0.5)
        if step == cut + 1:
            part = Averager(**json.loads(json.dumps(part.state())))
        part.add(step, step**0.5)
    assert part.curve() == whole.curve()
