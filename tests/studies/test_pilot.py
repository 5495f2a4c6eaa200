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
REFERENCE = 0.02
METHOD = Method("least_squares", None, "profile", 0.9, 100, 0)
SCHEDULES = {
    "wsd": partial(wsd, warmup_tokens=WARMUP, decay_fraction=0.2, final=0.0),
    "linear": partial(linear, warmup_tokens=WARMUP, final=0.0),
}


def curve(schedule: str, lr: float, p: float = 1.0, level: float = 0.0) -> list[float]:
    """The losses that the law gives, with the areas summed in the plainest way."""
    lr = lr**p * REFERENCE ** (1 - p)
    rates = [lr * SCHEDULES[schedule]((i + 0.5) * STEP, TOTAL) for i in range(TOTAL // STEP)]
    rates[: WARMUP // STEP] = [rates[WARMUP // STEP]] * (WARMUP // STEP)
    momentum = s1 = s2 = 0.0
    losses = []
    for i, rate in enumerate(rates):
        momentum = DECAY * momentum + (rates[i - 1] - rate if i else 0.0)
        s1, s2 = s1 + rate, s2 + momentum
        if (i + 1) * STEP in TOKENS:
            losses.append(
                level + TRUTH["L_0"] + TRUTH["A"] * s1 ** -TRUTH["alpha"] - TRUTH["C"] * s2
            )
    return losses


def made_pilot(schedule: str) -> Pilot:
    return Pilot(SCHEDULES[schedule], WARMUP, TOKENS, STEP, DECAY, METHOD)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("lr", [0.005, 0.02, 0.08])
def test_what_is_still_to_come_is_found_from_another_rate(schedule: str, lr: float) -> None:
    pilot = made_pilot(schedule)
    theta = pilot.fit({0.02: curve(schedule, 0.02)})
    expected = np.array(curve(schedule, lr))
    found = pilot.gain(theta, lr)
    assert found[-1] == 0
    assert found[1:] == pytest.approx((expected[-1] - expected)[1:], abs=2e-3)


def test_a_rate_at_its_peak_has_its_annealing_before_it() -> None:
    pilot = made_pilot("wsd")
    theta = {"A": 0.0, "alpha": 0.5, "C": 1.0, "p": 1.0, "lr": 0.04}
    low, high = (pilot.gain(theta, lr) for lr in (0.01, 0.02))
    assert high == pytest.approx(2 * low)
    assert low[:15] == pytest.approx([low[0]] * 15)
    assert low[0] < low[18] < low[19] == 0


def test_points_in_the_warm_up_and_lost_ones_are_left_out() -> None:
    pilot = made_pilot("wsd")
    assert pilot.first == 1
    whole = curve("wsd", 0.02)
    holed = [99.0, *whole[1:5], None, *whole[6:]]
    expected = {name: TRUTH[name] for name in ("A", "alpha", "C")} | {"p": 1.0, "lr": 0.02}
    assert pilot.fit({0.02: holed}) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_two_rates_tell_how_the_annealing_grows_with_the_rate(p: float) -> None:
    """Each rate ends at a level of its own, which must not be taken for annealing."""
    pilot = made_pilot("wsd")
    low, high = curve("wsd", REFERENCE, p), curve("wsd", 0.32, p, level=0.3)
    theta = pilot.fit({REFERENCE: low, 0.32: [None, *high[1:]]})
    expected = {name: TRUTH[name] for name in ("A", "alpha", "C")} | {"p": p, "lr": REFERENCE}
    assert theta == pytest.approx(expected, rel=0.02, abs=0.01)
    for lr in (0.005, 0.08):
        came = np.array(curve("wsd", lr, p))
        assert pilot.gain(theta, lr)[1:] == pytest.approx((came[-1] - came)[1:], abs=5e-3)
