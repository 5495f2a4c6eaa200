from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from windtunnel.report import style


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([5], [5]),
        ([1, 10], [1, 10]),
        ([100, 1, 10, 10], [1, 10, 100]),
        ([1, 1.2, 10, 95, 100], [1, 10, 100]),
    ],
)
def test_labels_keep_their_distance(values: list[float], kept: list[float]) -> None:
    assert style.apart(values) == kept


def test_a_figure_has_its_axes_title_and_footnote(tmp_path: Path) -> None:
    figure = style.canvas((2, 1), (8, 4), "What was found")
    style.footnote(figure, "word " * 60)
    assert len(figure.axes) == 2
    assert figure.get_suptitle() == "What was found"
    assert max(map(len, figure.get_supxlabel().splitlines())) <= 8 * style.CHARACTERS_PER_INCH
    axes = figure.axes[0]
    axes.plot([100, 10_000], [1, 2])
    style.log_axis(axes, [100, 1000, 10_000])
    assert axes.get_xscale() == "log"
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "1k", "10k"]
    style.save(figure, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_labels_are_spread_as_little_as_will_do() -> None:
    assert style.spread([1.0, 3.0, 2.0], 0.5) == [1.0, 3.0, 2.0]
    np.testing.assert_allclose(style.spread([2.0, 1.9], 0.5), [2.2, 1.7])
    np.testing.assert_allclose(style.spread([1.0, 1.0, 1.0], 1.0), [0.0, 1.0, 2.0])
