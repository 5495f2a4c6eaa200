from __future__ import annotations

from typing import Any

import pytest

from windtunnel.data.limits import Limits


def test_what_is_repeated_is_said() -> None:
    limits = Limits(epochs=2.0, beyond="repeat")
    assert limits.warnings({"a": 2.0, "b": 3.25}) == ["b is seen 3.2 times over"]


def test_an_exhausted_domain_is_refused() -> None:
    limits = Limits(epochs=1.0, beyond="refuse")
    assert limits.warnings({"a": 1.0, "b": 0.2}) == []
    with pytest.raises(
        ValueError, match=r"takes no text more than 1 times, got more of b \(1\.50\)"
    ):
        limits.warnings({"a": 1.0, "b": 1.5})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0.0}, r"sampler\.limits\.epochs: expected above 0, got 0\.0"),
        ({"beyond": "stop"}, r"sampler\.limits\.beyond: expected repeat or refuse, got 'stop'"),
    ],
)
def test_bad_limits_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**{"epochs": 1.0, "beyond": "repeat", **changes})
