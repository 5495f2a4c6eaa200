from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest

from windtunnel.optim.schedule import (
    constant,
    cosine,
    cyclic,
    inverse_log,
    inverse_sqrt,
    linear,
    stable_decay,
    wsd,
)

TOTAL = 1000
STABLE = {"decay_fraction": 0.9, "decay_tokens": None}  # so that it decays from 100 on
# Multipliers at 0, 50, 100 (end of warm-up), 550 (half-way down), 1000 tokens.
TABLE = [
    (constant, {}, (0, 0.5, 1, 1, 1)),
    (linear, {"final": 0.0}, (0, 0.5, 1, 0.5, 0)),
    (linear, {"final": 0.2}, (0, 0.5, 1, 0.6, 0.2)),
    (cosine, {"final": 0.1}, (0, 0.5, 1, 0.55, 0.1)),
    (wsd, {"decay_fraction": 0.2, "final": 0.0}, (0, 0.5, 1, 1, 0)),
    (
        inverse_log,
        {"unit_tokens": 10, "final": 0.0},
        (0, math.log(6) / math.log(11), 1, 0.5, 0),
    ),
    (inverse_sqrt, {"timescale_tokens": 150}, (0, 0.5, 1, 0.5, 7**-0.5)),
    (cyclic, {"period_tokens": 300, "low": 0.1}, (0, 0.5, 1, 0.1, 1)),
    (stable_decay, {"shape": "linear", "final": 0.2, **STABLE}, (0, 0.5, 1, 0.6, 0.2)),
    (
        stable_decay,
        {"shape": "one_minus_sqrt", "final": 0.0, **STABLE},
        (0, 0.5, 1, 1 - 0.5**0.5, 0),
    ),
    (stable_decay, {"shape": "exponential", "final": 0.01, **STABLE}, (0, 0.5, 1, 0.1, 0.01)),
]


@pytest.mark.parametrize(("schedule", "settings", "expected"), TABLE)
def test_values_by_hand(schedule, settings, expected) -> None:
    values = [schedule(t, TOTAL, warmup_tokens=100, **settings) for t in (0, 50, 100, 550, 1000)]
    assert values == pytest.approx(expected)


def test_wsd_falls_only_at_its_end() -> None:
    settings = {"warmup_tokens": 100, "decay_fraction": 0.2, "final": 0.0}
    assert wsd(799, TOTAL, **settings) == 1.0
    assert wsd(900, TOTAL, **settings) == pytest.approx(0.5)


def test_minicpms_exponential_halves_in_5000_steps() -> None:
    """0.5 after 5000 and 0.1 after 16,610; arXiv 2404.06395."""
    length = 5000 * math.log2(10)
    decay = partial(
        stable_decay, warmup_tokens=0, shape="exponential", decay_fraction=None, final=0.1
    )
    total = 20_000 + length
    assert decay(20_000, total, decay_tokens=length) == pytest.approx(1.0)
    assert decay(25_000, total, decay_tokens=length) == pytest.approx(0.5)
    assert decay(36_610, total, decay_tokens=length) == pytest.approx(0.1, abs=1e-5)


def test_one_minus_sqrt_at_a_quarter_and_a_half() -> None:
    decay = partial(
        stable_decay, warmup_tokens=0, shape="one_minus_sqrt", decay_fraction=None, final=0.0
    )
    values = [decay(t, 1000, decay_tokens=400) for t in (600, 700, 800, 1000)]
    assert values == pytest.approx([1, 0.5, 0.292893, 0], abs=1e-6)


def test_until_it_decays_a_stable_run_does_not_know_its_length() -> None:
    settings = {"warmup_tokens": 100, "shape": "linear", "final": 0.0}
    short, long = (
        [stable_decay(t, total, decay_fraction=None, decay_tokens=200, **settings)
         for t in range(0, 801, 50)]
        for total in (1000, 5000)
    )  # fmt: skip
    assert short == long


def test_mu_scalings_inverse_log_warm_up() -> None:
    """log(s + 1) / log(100), and linear after; github.com/cofe-ai/Mu-scaling."""
    rise = partial(inverse_log, total_tokens=1000, warmup_tokens=99, unit_tokens=1, final=0.0)
    values = [rise(s) for s in (0, 1, 9, 49, 99)]
    assert values == pytest.approx([0, 0.150515, 0.5, 0.849485, 1], abs=1e-6)
    fall = partial(rise, warmup_tokens=100)
    assert [fall(s) for s in (550, 1000)] == pytest.approx([0.5, 0])


def test_inverse_sqrt_with_the_warm_up_as_its_scale_is_that_of_the_transformer() -> None:
    for t in (200, 400, 900):
        value = inverse_sqrt(t, TOTAL, warmup_tokens=100, timescale_tokens=100)
        assert value == pytest.approx((100 / t) ** 0.5)


def test_cycles_repeat() -> None:
    cycle = partial(cyclic, total_tokens=TOTAL, warmup_tokens=0, period_tokens=200, low=0.2)
    assert [cycle(t) for t in (0, 50, 100, 150)] == pytest.approx([1, 0.6, 0.2, 0.6])
    assert [cycle(t) for t in range(0, 200, 20)] == pytest.approx(
        [cycle(t) for t in range(400, 600, 20)]
    )


@pytest.mark.parametrize(("schedule", "settings", "_"), TABLE)
def test_every_multiplier_is_a_share_and_has_no_jump(schedule, settings, _) -> None:
    values = [schedule(t, TOTAL, warmup_tokens=100, **settings) for t in range(TOTAL + 1)]
    assert min(values) >= 0
    assert max(values) <= 1
    if settings.get("shape") != "one_minus_sqrt":  # which falls straight down at first
        assert max(abs(b - a) for a, b in pairwise(values)) < 0.05


@pytest.mark.parametrize(("schedule", "settings", "_"), TABLE)
@pytest.mark.parametrize("warmup", [100, -1])
def test_warm_up_longer_than_training_is_refused(schedule, settings, _, warmup) -> None:
    with pytest.raises(ValueError, match=r"schedule\.warmup_tokens must be below the budget"):
        schedule(0, 100, warmup_tokens=warmup, **settings)


@pytest.mark.parametrize(
    ("schedule", "settings", "_"), [row for row in TABLE if {"final", "low"} & set(row[1])]
)
@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_a_rate_below_zero_or_above_the_peak_is_refused(schedule, settings, _, wrong) -> None:
    name = "low" if "low" in settings else "final"
    with pytest.raises(ValueError, match=rf"schedule\.{name} must lie in \[0, 1\], got {wrong}"):
        schedule(0, TOTAL, warmup_tokens=100, **settings | {name: wrong})


@pytest.mark.parametrize(
    ("schedule", "settings", "name"),
    [
        (inverse_log, {"unit_tokens": 0, "final": 0.0}, "unit_tokens"),
        (inverse_sqrt, {"timescale_tokens": 0}, "timescale_tokens"),
        (cyclic, {"period_tokens": -5, "low": 0.0}, "period_tokens"),
    ],
)
def test_a_stretch_without_length_is_refused(schedule, settings, name) -> None:
    with pytest.raises(ValueError, match=rf"schedule\.{name} must be above 0"):
        schedule(0, TOTAL, warmup_tokens=100, **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "cubic"}, r"schedule\.shape must be linear, one_minus_sqrt or exponential, got"),
        ({"shape": "exponential", "final": 0.0}, r"schedule\.final must be above 0 for"),
        ({"decay_tokens": 100}, "give one of decay_fraction and decay_tokens"),
        ({"decay_fraction": None}, "give one of decay_fraction and decay_tokens"),
        ({"decay_fraction": None, "decay_tokens": 2000}, "must lie between the warm-up and the"),
        ({"decay_fraction": 0.95}, "must lie between the warm-up and the end, got 950 tokens"),
        ({"decay_fraction": 0.0}, "must lie between the warm-up and the end, got 0 tokens"),
        ({"decay_fraction": -0.2}, "must lie between the warm-up and the end"),
    ],
)
def test_a_decay_that_is_none_is_refused(change, message) -> None:
    settings = {"shape": "linear", "decay_fraction": 0.2, "decay_tokens": None, "final": 0.1}
    with pytest.raises(ValueError, match=message):
        stable_decay(0, TOTAL, warmup_tokens=100, **settings | change)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert linear(0, TOTAL, warmup_tokens=0, final=0.0) == 1.0
    assert inverse_log(0, TOTAL, warmup_tokens=0, unit_tokens=1, final=0.0) == 1.0
