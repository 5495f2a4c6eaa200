from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from windtunnel.data.lengthening import Growing

AT = np.array([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("power", "expected"), [(1.0, [8, 256, 512, 768, 1024]), (2.0, [8, 512, 720, 880, 1024])]
)
def test_lengths_of_deepspeed(power: float, expected: list[int]) -> None:
    growing = Growing(first=8, multiple=8, until=1.0, power=power)
    assert growing.lengths(AT, 1024).tolist() == expected


def test_windows_of_any_length_become_whole() -> None:
    growing = Growing(first=64, multiple=64, until=0.5, power=1.0)
    assert growing.lengths(AT, 100).tolist() == [64, 64, 100, 100, 100]
    assert growing.lengths(AT, 10).tolist() == [10] * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": 0}, r"first, multiple: expected whole numbers from 1, .* got 0 and 8"),
        ({"first": 12}, r"first, multiple: .* got 12 and 8"),
        ({"until": 1.5}, r"until, power: expected a share of the budget .* got 1\.5"),
        ({"power": 0.5}, r"until, power: .* and 0\.5"),
    ],
)
def test_bad_settings_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sampler\.length\.{message}"):
        Growing(**{"first": 8, "multiple": 8, "until": 0.5, "power": 1.0, **changes})
