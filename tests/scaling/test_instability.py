from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from windtunnel.scaling.instability import (
    ATTENTION_LOGIT,
    GRADIENT_TO_EPS,
    at_one_step,
    attention_logits,
    extrapolate,
    gradients_to_eps,
    outlooks,
    warnings,
)

SIZES = np.geomspace(1e5, 3e6, 6)


def planted(n: np.ndarray, lr: float) -> np.ndarray:
    """log logit = 1 + 0.3 x + 0.04 x^2 + ln(lr / 0.01), x = ln(N / 1e5): a law with known ends."""
    x = np.log(n / 1e5)
    return np.exp(1 + 0.3 * x + 0.04 * x**2 + math.log(lr / 0.01))


def size_at(value: float, lr: float) -> float:
    """Where the planted law reaches a value."""
    c = 1 + math.log(lr / 0.01) - math.log(value)
    return 1e5 * math.exp((-0.3 + math.sqrt(0.09 - 0.16 * c)) / 0.08)


def ladder(lrs: tuple[float, ...], noise: float = 0.0, seeds: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    points = [(n, lr) for lr in lrs for n in SIZES for _ in range(seeds)]
    values = [
        planted(np.array(n), lr) * math.exp(noise * rng.standard_normal()) for n, lr in points
    ]
    return {"n_M": [n for n, _ in points], "lr_M": [lr for _, lr in points], "value_M": values}


def test_planted_growth_is_foreseen_with_the_size_where_it_breaks() -> None:
    target = 1e12
    found = outlooks(ATTENTION_LOGIT, **ladder((0.01, 0.1)), target_n=target)
    assert [own.lr for own in found] == [0.01, 0.1]
    for own in found:
        assert own.n_sizes == 6
        assert own.predicted == pytest.approx(planted(np.array(target), own.lr), rel=1e-6)
        assert own.warn_at is not None
        assert own.lost_at is not None
        # To the spacing of the sizes that are tried.
        assert own.warn_at == pytest.approx(size_at(1e3, own.lr), rel=0.05)
        assert own.lost_at == pytest.approx(size_at(1e4, own.lr), rel=0.05)
        assert 3e6 < own.warn_at < own.lost_at  # said before it happens
    assert found[1].lost_at < found[0].lost_at


def test_what_stays_small_up_to_the_target_is_no_reason_to_warn() -> None:
    (found,) = outlooks(ATTENTION_LOGIT, **ladder((0.01,)), target_n=1e7)
    assert (found.warn_at, found.lost_at) == (None, None)
    assert warnings(ATTENTION_LOGIT, [found], 1e7) == []


@pytest.mark.parametrize("seed", range(3))
def test_noise_moves_the_breaking_point_little(seed: int) -> None:
    (found,) = outlooks(ATTENTION_LOGIT, **ladder((0.1,), noise=0.02, seeds=3), target_n=1e11)
    assert found.warn_at == pytest.approx(size_at(1e3, 0.1), rel=0.5)


def test_a_falling_quantity_is_watched_from_above() -> None:
    """RMS(g) / eps = (N / 1e5)^-1 1e4: 10 at 1e8, 1 at 1e9."""
    values = 1e4 * (SIZES / 1e5) ** -1.0
    (found,) = outlooks(GRADIENT_TO_EPS, SIZES, [0.01] * 6, values, target_n=1e10)
    assert found.warn_at == pytest.approx(1e8, rel=0.05)
    assert found.lost_at == pytest.approx(1e9, rel=0.05)
    assert found.predicted == pytest.approx(0.1)


def test_three_sizes_give_a_line_and_one_gives_nothing() -> None:
    values = 5.0 * (SIZES[:3] / 1e5) ** 0.5
    (found,) = outlooks(ATTENTION_LOGIT, SIZES[:3], [0.1] * 3, values, target_n=1e9)
    assert found.predicted == pytest.approx(5.0 * 100)
    assert outlooks(ATTENTION_LOGIT, [1e5, 1e5], [0.1, 0.1], [1.0, 2.0], target_n=1e9) == []
    assert outlooks(ATTENTION_LOGIT, [], [], [], target_n=1e9) == []


def test_seeds_count_by_their_mean_logarithm() -> None:
    (found,) = outlooks(ATTENTION_LOGIT, [1e5, 1e5, 1e6], [0.1] * 3, [2.0, 8.0, 40.0], target_n=1e7)
    assert found.predicted == pytest.approx(400.0)


def test_a_curve_is_not_followed_beyond_its_turning_point() -> None:
    """y = -(x - 5)^2 over x = 0 .. 4 turns at 5: growth was seen, its end was not."""
    x = np.arange(5.0)
    found = extrapolate(x, -((x - 5.0) ** 2), np.array([2.0, 4.5, 6.0, 9.0]))
    assert found == pytest.approx([-9.0, -0.25, 0.0, 0.0], abs=1e-9)
    rising = extrapolate(x, (x + 1.0) ** 2, np.array([9.0]))
    assert rising == pytest.approx([100.0])


def test_warnings_name_rate_value_and_size() -> None:
    found = outlooks(ATTENTION_LOGIT, **ladder((0.001, 0.1)), target_n=3e10)
    said = warnings(ATTENTION_LOGIT, found, 3e10)
    assert len(said) == 2
    assert said[0].startswith("attention logit at learning rate 0.001 is predicted to be ")
    assert said[0].endswith("at N = 3e+10, near where runs are lost")
    assert "at learning rate 0.1" in said[1]
    assert "runs are lost from N = " in said[1]


def test_measurements_of_records_are_read_at_their_last_common_step() -> None:
    logits = {"steps": [0, 100], "tokens": [0, 1], "blocks": {"0": [1.0, 5.0], "1": [2.0, 3.0]}}
    assert attention_logits({"attention_logits": logits}) == {0: 2.0, 100: 5.0}
    assert attention_logits({}) == {}
    by_role = {"hidden": [9.0, None, None], "vector": [7.0, 8.0, None]}
    sizes = {"steps": [1, 101, 201], "tokens": [0, 1, 2], "gradient_to_eps": by_role}
    assert gradients_to_eps({"role_sizes": sizes}) == {1: 7.0, 101: 8.0}
    assert gradients_to_eps({}) == {}
    assert at_one_step([{0: 1.0, 5: 2.0, 9: 3.0}, {0: 4.0, 5: 6.0}]) == (5, [2.0, 6.0])
    assert at_one_step([{0: 1.0}, {5: 1.0}]) is None
    assert at_one_step([]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value_M": [1.0, math.nan]}, r"every attention logit must be above 0 and finite"),
        ({"n_M": [0.0, 1e5]}, r"every size must be above 0"),
        ({"lr_M": [0.1, -1.0]}, r"every learning rate must be above 0"),
        ({"target_n": 1e5}, r"larger than every run, got 100000 and runs up to 1e\+06"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused(changes: dict[str, Any], said: str) -> None:
    own: dict[str, Any] = {"n_M": [1e5, 1e6], "lr_M": [0.1, 0.1], "value_M": [1.0, 2.0]}
    with pytest.raises(ValueError, match=said):
        outlooks(ATTENTION_LOGIT, **({**own, "target_n": 1e9} | changes))
