from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.test_annealing import made_study, run, trained
from windtunnel.report.annealing import figure, headline, report, tables


def test_a_prediction_is_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    result = run(made_study(seeds=2), tmp_path, sd=0.005)
    report(result, tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    for words in ("wsd-s2", "L_0 = ", "copying the curve of cosine", "mean error"):
        assert words in printed
    assert f"{100 * result['mape']:.2f} % on average" in headline(result)
    left, right = figure(result).axes
    labels = left.get_legend_handles_labels()[1]
    assert "wsd, predicted before it was trained" in labels
    assert "wsd, trained afterwards" in labels
    assert len(right.get_lines()) == 3


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: trained(job) for job in study.seen()}
    study.propose(records, tmp_path)
    open_ended = study.conclude(records, tmp_path)
    assert "has not been trained" in headline(open_ended)
    nothing = study.conclude({}, tmp_path)
    assert headline(nothing) == "Nothing was predicted"
    for result in (open_ended, nothing):
        assert tables(result)
        assert len(figure(result).axes) == 2
