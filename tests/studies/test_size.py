from __future__ import annotations

import pytest

from tests.made import sizes
from windtunnel.studies.size import count_at

WIDTHS = (32, 48, 64, 96, 128, 160)


@pytest.mark.parametrize("convention", ["total", "non_embedding", "with_head"])
def test_the_size_of_a_model_not_built_is_exact(convention: str) -> None:
    counts = {width: sizes(width)[convention] for width in WIDTHS}
    assert count_at(352, counts) == (sizes(352)[convention], True)


def test_rounded_inner_sizes_are_seen() -> None:
    counts = {width: sizes(width)["total"] + 40 * (width == 96) for width in WIDTHS}
    size, exact = count_at(352, counts)
    assert not exact
    assert size == pytest.approx(sizes(352)["total"], rel=0.01)


def test_two_widths_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3 widths"):
        count_at(352, {32: 1, 64: 2})
