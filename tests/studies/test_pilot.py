from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from windtunnel.optim.schedule import linear, wsd
from windtunnel.studies.method import Method
from windtunnel.studies.pilot import Pilot

STEP, TOTAL, WARMUP, DECAY = 1_000, 400_000, 20_000, 0.98
TOKENS = list(range(20_000, TOTAL + 1, 20_000))
TRUTH = {"L_0": 2.2, "A": 1.4, "alpha": 0.6, "C": 3.0}
METHOD = Method("least_squares", None, "profile", 0.9, 100, 0)
SCHEDULES = {
    "wsd": partial(wsd, warmup_tokens=WARMUP, decay_fraction=0.2, final=0.0),
    "linear": partial(linear, warmup_tokens=WARMUP, final=0.0),
}


def curve(schedule: str, lr: float) -> list[float]:
    """The losses that the law gives, with the areas summed in the plainest way."""
    rates = [lr * SCHEDULES[schedule]((i + 0.5) * STEP, TOTAL) for i in range(TOTAL // STEP)]
    rates[: WARMUP // STEP] = [rates[WARMUP // STEP]] * (WARMUP // STEP)
    momentum = s1 = s2 = 0.0
    losses = []
    for i, rate in enumerate(rates):
        momentum = DECAY * momentum + (rates[i - 1] - rate if i else 0.0)
        s1, s2 = s1 + rate, s2 + momentum
        if (i + 1) * STEP in TOKENS:
            losses.append(TRUTH["L_0"] + TRUTH["A"] * s1 ** -TRUTH["alpha"] - TRUTH["C"] * s2)
    return losses


def made_pilot(schedule: str) -> Pilot:
    return Pilot(SCHEDULES[schedule], WARMUP, TOKENS, STEP, DECAY, METHOD)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("lr", [0.005, 0.02, 0.08])
def test_what_is_still_to_come_is_found_from_another_rate(schedule: str, lr: float) -> None:
    pilot = made_pilot(schedule)
    theta = pilot.fit(curve(schedule, 0.02), 0.02)
    expected = np.array(curve(schedule, lr))
    found = pilot.gain(theta, lr)
    assert found[-1] == 0
    assert found[1:] == pytest.approx((expected[-1] - expected)[1:], abs=2e-3)


def test_a_rate_at_its_peak_has_its_annealing_before_it() -> None:
    pilot = made_pilot("wsd")
    theta = {"A": 0.0, "alpha": 0.5, "C": 1.0}
    low, high = (pilot.gain(theta, lr) for lr in (0.01, 0.02))
    assert high == pytest.approx(2 * low)
    assert low[:15] == pytest.approx([low[0]] * 15)
    assert low[0] < low[18] < low[19] == 0


def test_points_in_the_warm_up_and_lost_ones_are_left_out() -> None:
    pilot = made_pilot("wsd")
    assert pilot.first == 1
    whole = curve("wsd", 0.02)
    holed = [99.0, *whole[1:5], None, *whole[6:]]
    assert pilot.fit(holed, 0.02) == pytest.approx(TRUTH, rel=0.02)
