from __future__ import annotations

import math

import pytest

from windtunnel.optim.schedule import constant, cosine, inverse_log, linear, wsd

TOTAL = 1000
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
]


@pytest.mark.parametrize(("schedule", "settings", "expected"), TABLE)
def test_values_by_hand(schedule, settings, expected) -> None:
    values = [schedule(t, TOTAL, warmup_tokens=100, **settings) for t in (0, 50, 100, 550, 1000)]
    assert values == pytest.approx(expected)


def test_wsd_falls_only_at_its_end() -> None:
    settings = {"warmup_tokens": 100, "decay_fraction": 0.2, "final": 0.0}
    assert wsd(799, TOTAL, **settings) == 1.0
    assert wsd(900, TOTAL, **settings) == pytest.approx(0.5)


@pytest.mark.parametrize(("schedule", "settings", "_"), TABLE)
def test_warm_up_longer_than_training_is_refused(schedule, settings, _) -> None:
    with pytest.raises(ValueError, match=r"schedule\.warmup_tokens must be below the budget"):
        schedule(0, 100, warmup_tokens=100, **settings)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert linear(0, TOTAL, warmup_tokens=0, final=0.0) == 1.0
