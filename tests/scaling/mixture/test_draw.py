from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.scaling.mixture.draw import UNITS, Draw, check_bounds, epoch_bounds, rounded

PRIOR_S = np.array([0.5, 0.3, 0.15, 0.05])
FREE_S = np.ones(4)


def made_draw(**changes: Any) -> Draw:
    return Draw(**({"low": 0.1, "high": 5.0, "steps": 15, "temper": 0.5} | changes))


def test_mixtures_sum_to_one_in_whole_units_and_none_comes_twice() -> None:
    found_MS = made_draw().mixtures(PRIOR_S, FREE_S, 512, seed=42)
    assert found_MS.shape == (512, 4)
    assert found_MS.sum(1) == pytest.approx(np.ones(512), abs=1e-12)
    assert found_MS * UNITS == pytest.approx(np.round(found_MS * UNITS), abs=1e-9)
    assert len(np.unique(found_MS, axis=0)) == 512
    assert (found_MS == made_draw().mixtures(PRIOR_S, FREE_S, 512, seed=42)).all()
    assert (found_MS != made_draw().mixtures(PRIOR_S, FREE_S, 512, seed=43)).any()


def test_no_weight_is_above_its_bound() -> None:
    bound_S = np.array([0.6, 0.5, 0.3, 0.1])
    found_MS = made_draw().mixtures(PRIOR_S, bound_S, 300, seed=1)
    assert (found_MS <= bound_S + 1e-9).all()
    assert (found_MS.max(0) > 0.9 * bound_S).all()


@pytest.mark.parametrize("temper", [0.0, 0.5, 1.0])
def test_the_mean_is_the_tempered_prior(temper: float) -> None:
    """And the variance that of Dirichlet(s p): p (1 - p) / (s + 1)."""
    draw = made_draw(low=2.0, high=2.0, steps=1, temper=temper)
    found_MS = draw.mixtures(PRIOR_S, FREE_S, 8000, seed=2)
    centre_S = PRIOR_S**temper / (PRIOR_S**temper).sum()
    variance_S = centre_S * (1 - centre_S) / 3
    slack_S = 5 * np.sqrt(variance_S / 8000)
    assert (np.abs(found_MS.mean(0) - centre_S) < slack_S + 1e-3).all()
    assert found_MS.var(0) == pytest.approx(variance_S, rel=0.08)


def test_weak_strengths_give_one_domain_and_strong_ones_the_prior() -> None:
    weak, strong = (
        made_draw(low=s, high=s, steps=1, temper=1.0).mixtures(PRIOR_S, FREE_S, 200, seed=3)
        for s in (0.05, 500.0)
    )
    assert np.median(weak.max(1)) > 0.9
    assert np.abs(strong - PRIOR_S).max() < 0.1


def test_strengths_that_no_float_holds_are_drawn_again() -> None:
    draw = made_draw(low=1e-4, high=1e-4, steps=1)
    found_MS = draw.mixtures(PRIOR_S, FREE_S, 4, seed=4)
    assert np.isfinite(found_MS).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12).filter(lambda w: sum(w) > 0.01))
def test_rounding_keeps_the_sum_and_moves_less_than_a_unit(weights: list[float]) -> None:
    exact_S = np.array(weights) / sum(weights)
    found_S = rounded(exact_S[None])[0]
    assert found_S.sum() == UNITS
    assert (np.abs(found_S - exact_S * UNITS) < 1 + 1e-6).all()


def test_bounds_follow_from_epochs() -> None:
    found_S = epoch_bounds([100, 400, 5000], budget=1000, epochs=4)
    assert found_S.tolist() == [0.4, 1.0, 1.0]


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bounds: expected a sum of at least 1, got \[0\.3, 0\.4"):
        check_bounds(np.array([0.3, 0.4]))
    with pytest.raises(ValueError, match=r"bounds: expected a sum of at least 1"):
        made_draw().mixtures(PRIOR_S, np.full(4, 0.2), 3, seed=0)


def test_bounds_that_leave_too_few_are_refused() -> None:
    bound_S = np.full(4, 0.2502)  # a handful of mixtures, in units of 2e-4
    with pytest.raises(ValueError, match=r"bounds: expected 500 mixtures within .*found only \d+"):
        made_draw(low=5000.0, high=5000.0, temper=0.0).mixtures(PRIOR_S, bound_S, 500, seed=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": 0.0}, r"low, high, steps: .* got 0\.0, 5\.0 and 15"),
        ({"high": 0.01}, r"low, high, steps"),
        ({"steps": 0}, r"low, high, steps"),
        ({"temper": -1.0}, r"temper: expected from 0 .* got -1\.0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_draw(**changes)
