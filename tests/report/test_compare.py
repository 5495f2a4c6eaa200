from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.test_compare import made_compare, noisy, run, truth, variant_of
from windtunnel.report.compare import figure, headline, ranking, report


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(made_compare(), noisy(0.004), tmp_path_factory.mktemp("study"))[0]


def test_the_report_ranks_the_designs_and_says_who_is_better(
    result: dict[str, Any], tmp_path: Path
) -> None:
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    assert headline(result) == "At the target, beside plain: better: better; worse: fast"
    assert list(ranking(result)) == ["better", "plain", "fast"]
    assert "calibration.ece" not in written
    for words in ("less reference", "1.000", "0.000", "width 64", "-2.00", headline(result)):
        assert words in written


def test_every_design_has_a_curve_a_prediction_and_its_trials(result: dict[str, Any]) -> None:
    ladder, rates, curves = figure(result).axes
    assert ladder.get_legend_handles_labels()[1] == ["plain", "better", "fast"]
    predicted = sorted(bar.lines[0].get_ydata()[0] for bar in ladder.containers)  # type: ignore[attr-defined]
    expected = sorted(own["prediction"]["loss"] for own in result["variants"].values())
    assert predicted == pytest.approx(expected)
    trials = [line for line in rates.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in trials] == [5, 5, 5]
    assert [len(line.get_ydata()) for line in curves.lines] == [2, 2, 2]


def test_figures_that_were_left_have_a_table(result: dict[str, Any], tmp_path: Path) -> None:
    own = {"grad_norm_spread": None, "calibration.ece": {"mean": 0.0312, "sd": None}}
    variants = {name: values | {"figures": own} for name, values in result["variants"].items()}
    report(result | {"variants": variants}, tmp_path)
    written = (tmp_path / "table.txt").read_text()
    for words in ("At width 64, mean over", "calibration.ece", "0.0312 (-)"):
        assert words in written
    assert "grad_norm_spread" not in written


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    study = made_compare()
    lost, _, _ = run(
        study, lambda job: None if variant_of(job) != "plain" else truth(job), tmp_path
    )
    report(lost, tmp_path)
    written = (tmp_path / "table.txt").read_text()
    assert "no learning rate gave a loss" in written
    assert headline(lost).startswith("Undecided")
    report(study.conclude({}, tmp_path), tmp_path)
