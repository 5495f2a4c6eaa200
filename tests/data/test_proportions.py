from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.data.proportions import temperature, unimax

sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=10)


@given(n=sizes, alpha=st.floats(0.0, 1.5))
def test_ratios_are_powers_of_the_ratios_of_sizes(n: list[int], alpha: float) -> None:
    p = temperature(np.array(n), alpha)
    assert p.sum() == pytest.approx(1)
    assert p / p[0] == pytest.approx((np.array(n) / n[0]) ** alpha)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.5, [0.1369, 0.1220, 0.1375, 0.0790, 0.1144, 0.1550, 0.1227, 0.1326]),
        (0.3, [0.1325, 0.1236, 0.1328, 0.0953, 0.1190, 0.1428, 0.1241, 0.1300]),
        (0.0, [0.125] * 8),
    ],
)
def test_temperature_of_eight_languages(alpha: float, expected: list[float]) -> None:
    # Shares of the bytes of the Python documentation in en, es, fr, ru, tr, ja, zh, pt.
    natural = np.array([0.1459, 0.1158, 0.1471, 0.0486, 0.1018, 0.1871, 0.1171, 0.1368])
    assert temperature(natural * 1e6, alpha) == pytest.approx(expected, abs=2e-4)


def test_an_empty_group_gets_nothing() -> None:
    assert temperature(np.array([5, 0, 5]), 0.0).tolist() == [0.5, 0, 0.5]


@given(n=sizes, budget=st.integers(10, 10**10), epochs=st.floats(0.5, 8))
def test_unimax_is_uniform_below_the_cap(n: list[int], budget: int, epochs: float) -> None:
    p = unimax(np.array(n), budget, epochs)
    assert p.sum() == pytest.approx(1)
    caps = np.array([max(int(epochs * size), 1) for size in n])
    if caps.sum() <= budget:
        assert p == pytest.approx(caps / caps.sum())
        return
    tokens = p * budget
    assert (tokens <= caps + len(n)).all()
    free = tokens[tokens < caps - len(n)]
    assert np.ptp(free) <= len(n) if len(free) else True
    assert (tokens <= free.min() + len(n)).all() if len(free) else True


def test_unimax_shares_what_a_small_group_cannot_take() -> None:
    assert unimax(np.array([10, 1000, 1000]), 120, 2.0).tolist() == pytest.approx(
        [20 / 120, 50 / 120, 50 / 120]
    )
