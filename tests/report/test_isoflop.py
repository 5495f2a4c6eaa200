from __future__ import annotations

from pathlib import Path

from tests.studies.test_isoflop import made_study, run
from windtunnel.report.isoflop import figure, headline, report, tables
from windtunnel.studies.approaches import LAW, PARABOLAS


def test_three_ways_are_printed_and_drawn(tmp_path: Path) -> None:
    result = run(made_study(), tmp_path, sd=0.002)
    report(result, tmp_path)
    printed = (tmp_path / "table.txt").read_text()
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    for words in (LAW, PARABOLAS, "2e+12 FLOPs", "tokens / N", "Best size for 4e+13 FLOPs"):
        assert words in printed
    left, right = figure(result).axes
    assert len(left.get_legend_handles_labels()[1]) == 3
    assert right.get_legend_handles_labels()[1] == list(result["approaches"])
    assert "by 3 of 3 approaches" in headline(result)


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    nothing = made_study().conclude({}, tmp_path)
    assert headline(nothing) == "No approach found a best size"
    assert tables(nothing)
    assert not figure(nothing).axes[1].get_legend_handles_labels()[1]
