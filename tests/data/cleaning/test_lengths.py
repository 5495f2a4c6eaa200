from __future__ import annotations

from typing import Any

import pytest

from windtunnel.data.cleaning.lengths import Lengths


def test_bounds_are_characters_and_belong_to_what_is_kept() -> None:
    lengths = Lengths(at_least=2, at_most=4)
    assert [lengths.fault("é" * n) for n in range(1, 6)] == ["too_short", *[None] * 3, "too_long"]
    assert Lengths(at_least=0, at_most=None).fault("x" * 10**6) is None


@pytest.mark.parametrize("bounds", [(-1, None), (5, 4), (0, 0)])
def test_bounds_that_keep_nothing_are_refused(bounds: Any) -> None:
    with pytest.raises(ValueError, match=r"cleaning\.lengths: expected 0 <= at_least <= at_most"):
        Lengths(at_least=bounds[0], at_most=bounds[1])
