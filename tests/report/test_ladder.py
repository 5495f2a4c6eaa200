from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.collections import FillBetweenPolyCollection

from tests.made import sizes
from tests.studies.test_ladder import made_ladder, noisy, run
from windtunnel.report.ladder import figure, headline, report


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    return run(made_ladder(seeds=2), noisy(0.003, ["w48-s2"]), tmp_path)[0]


def test_the_report_writes_a_table_and_a_figure(
    result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in (
        "target-w352-s2",
        "diverged at step 7",
        f"{result['prediction']['loss']:.4f}",
        f"{result['actual']:.4f}",
        "copy largest",
        "power law",
        "seed standard deviation",
        "in FLOPs (kaplan)",
        "gap at least five seed deviations",
        "w48-s2 was left out",
    ):
        assert words in written
    assert headline(result) in capsys.readouterr().out.replace("\n", " ")


def test_the_headline_says_what_was_found(result: dict[str, Any]) -> None:
    predicted = result["prediction"]
    assert headline(result) == (
        f"Predicted {predicted['loss']:.3f} [{predicted['low']:.3f}, {predicted['high']:.3f}], "
        f"measured {result['actual']:.3f} nats per token: error {100 * result['error']:+.2f} %"
    )


def test_the_figure_shows_members_curve_interval_and_target(result: dict[str, Any]) -> None:
    axes, target = figure(result).axes
    assert axes.get_xscale() == "log"
    labels = axes.get_legend_handles_labels()[1]
    for words in ("trained and fitted", "95 % prediction interval", "fit L = a N^b + c",
                  "predicted before", "trained afterwards", "copy of the largest",
                  "power law, no constant"):  # fmt: skip
        assert any(words in label for label in labels)
    lines = {str(line.get_label()): line for line in axes.lines}
    fitted = lines["trained and fitted, one point per seed"]
    assert len(fitted.get_xdata()) == 11  # one of 6 widths x 2 seeds diverged
    stars = lines["trained afterwards, one star per seed"]
    assert list(stars.get_xdata()) == [sizes(352)["total"]] * 2
    assert any(isinstance(c, FillBetweenPolyCollection) for c in axes.collections)
    assert [label.get_text() for label in target.get_xticklabels()] == [
        "all\nseeds", "seed\n1", "seed\n2"]  # fmt: skip


@pytest.mark.parametrize("lost", [["w32-s1", "w48-s1", "w64-s1"], ["target-w352-s1"]])
def test_what_is_incomplete_is_still_reported(lost: list[str], tmp_path: Path) -> None:
    result, _, _ = run(made_ladder(), noisy(0.001, lost), tmp_path)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").exists()
    assert lost[0] in (tmp_path / "table.txt").read_text()
    assert headline(result).startswith(("Nothing was predicted", "Predicted"))
    labels = figure(result).axes[0].get_legend_handles_labels()[1]
    assert ("trained, not fitted" in labels) == (len(lost) == 3)


def test_a_ladder_that_did_not_start_is_still_reported(tmp_path: Path) -> None:
    result = made_ladder().conclude({}, tmp_path)
    report(result, tmp_path)
    assert "missing" in (tmp_path / "table.txt").read_text()
