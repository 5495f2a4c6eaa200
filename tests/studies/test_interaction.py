from __future__ import annotations

import pytest

from windtunnel.studies.interaction import gains, interactions

# The seeds move everything alike; decay takes 0.3 of the 0.5 that the order gains.
LOSSES = {
    ("plain", "flat", "last"): {1: 3.0, 2: 4.0, 3: 5.0},
    ("sorted", "flat", "last"): {1: 2.5, 2: 3.5, 3: 4.5},
    ("plain", "decay", "last"): {1: 2.0, 2: 3.0, 3: 4.0},
    ("sorted", "decay", "last"): {1: 1.8, 2: 2.8, 3: 3.8},
}


def test_gains_and_what_decay_takes_of_them() -> None:
    found = gains(LOSSES, "plain", 0.95)
    assert [(line["order"], line["schedule"], line["average"]) for line in found] == [
        ("sorted", "flat", "last"), ("sorted", "decay", "last")
    ]  # fmt: skip
    assert [line["difference"]["mean"] for line in found] == pytest.approx([0.5, 0.2])
    (taken,) = interactions(LOSSES, "plain", "flat", 0.95)
    assert taken["schedule"] == "decay"
    assert taken["difference"]["mean"] == pytest.approx(0.3)
    assert taken["difference"]["sd"] == pytest.approx(0.0, abs=1e-12)


def test_it_is_antisymmetric_in_the_schedules_and_in_the_orders() -> None:
    (taken,) = interactions(LOSSES, "plain", "flat", 0.95)
    for control, constant in (("plain", "decay"), ("sorted", "flat")):
        (other,) = interactions(LOSSES, control, constant, 0.95)
        assert other["difference"]["mean"] == pytest.approx(-taken["difference"]["mean"])


def test_only_seeds_that_all_four_have_count() -> None:
    losses = {**LOSSES, ("sorted", "decay", "last"): {3: 3.8}}
    (taken,) = interactions(losses, "plain", "flat", 0.95)
    assert len(taken["difference"]["values"]) == 1
    losses = {**LOSSES, ("plain", "flat", "last"): {}}
    (taken,) = interactions(losses, "plain", "flat", 0.95)
    assert taken["difference"] is None
