from __future__ import annotations

from typing import Any

import pytest

from windtunnel.optim.schedule import linear
from windtunnel.optim.spiked import spiked

SETTINGS: dict[str, Any] = {"warmup_tokens": 10, "final": 0.1}
SPIKE: dict[str, Any] = {"factor": 1000.0, "start": 0.5, "length": 0.02}


def test_the_rate_is_a_thousand_times_too_high_for_a_while_and_right_otherwise() -> None:
    ratios = {
        at: spiked(at, 1000, **SETTINGS, **SPIKE) / linear(at, 1000, **SETTINGS)
        for at in (1, 5, 10, 499, 499.9, 500, 510, 519.9, 520, 999)
    }
    inside = [at for at, ratio in ratios.items() if ratio > 1]
    assert inside == [500, 510, 519.9]
    assert {round(ratios[at], 9) for at in inside} == {1000}
    assert {ratio for at, ratio in ratios.items() if at not in inside} == {1.0}


def test_a_factor_of_one_is_no_spike() -> None:
    calm = SPIKE | {"factor": 1.0}
    for at in range(0, 1000, 7):
        assert spiked(at, 1000, **SETTINGS, **calm) == linear(at, 1000, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"factor": -1.0}, r"schedule\.factor must be 0 or more, got -1"),
        ({"start": -0.1}, r"shares of the run.*got -0\.1 and 0\.02"),
        ({"start": 0.99, "length": 0.1}, r"end within it, got 0\.99 and 0\.1"),
        ({"length": 0.0}, r"got 0\.5 and 0\.0: try"),
    ],
)
def test_a_spike_that_is_none_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spiked(0, 1000, **SETTINGS, **(SPIKE | changes))
