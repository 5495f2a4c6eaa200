from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.test_successive_halving import made_study, run
from windtunnel.report.successive_halving import figure, headline, report, tables


def test_the_ways_of_the_trials_and_the_rules_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = run(made_study(truth=True), tmp_path)
    report(result, tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    for words in ("went on", "1 1", "3 3", "predicted end", "92 %", "regret"):
        assert words in printed
    assert "The best trial wins in" in headline(result)
    assert headline(result).endswith("instead of 9")
    curves, ranks, kept = figure(result).axes
    assert len(curves.get_legend_handles_labels()[1]) == 9
    assert len(ranks.lines) == 9
    assert kept.get_legend_handles_labels()[1] == [
        "early loss",
        "predicted end",
        "annealing as the rate",
    ]


def test_without_the_truth_there_is_no_judgement(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    assert headline(result).startswith("Halving by predicted end chose lr6, lr6 for 4.3 runs'")
    assert tables(result)
    assert figure(result).axes[2].lines[:] == []
    nothing = made_study().conclude({}, tmp_path)
    assert tables(nothing)
    assert len(figure(nothing).axes) == 3
