from __future__ import annotations

from pathlib import Path

from tests.studies.test_impossible import made_impossible, records_of
from windtunnel.report.impossible import figure, headline, ranking, report, tables
from windtunnel.report.table import show


def test_the_report_ranks_the_languages_and_judges_what_was_expected(tmp_path: Path) -> None:
    study = made_impossible()
    result = study.conclude(records_of(study), tmp_path)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    said = "4 of 5 differences are as expected; reverse is easier than reverse_control"
    assert headline(result) == said
    assert next(iter(ranking(result))) == "control"
    assert list(ranking(result))[-1] == "chaos"
    for words in (said, "control < local", "the other way", "perplexity", "above it"):
        assert words in written


def test_the_figure_has_a_curve_a_band_and_a_dot_for_every_run(tmp_path: Path) -> None:
    study = made_impossible()
    left, right = figure(study.conclude(records_of(study), tmp_path)).axes
    assert len(left.lines) == len(left.collections) == 6
    assert [len(line.get_xdata()) for line in right.lines] == [3] * 4
    assert [label.get_text() for label in right.get_yticklabels()][-1] == "chaos\nless control"


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    study = made_impossible(seeds=1)
    result = study.conclude({}, tmp_path)
    report(result, tmp_path)
    assert headline(result) == "0 of 5 differences are as expected; 5 undecided"


def test_one_seed_has_differences_and_no_intervals(tmp_path: Path) -> None:
    study = made_impossible(seeds=1)
    result = study.conclude(records_of(study), tmp_path)
    show(tables(result), tmp_path)
    assert "+0.2" in (tmp_path / "table.txt").read_text()
