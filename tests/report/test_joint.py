from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.studies.test_joint import E, conclude, made_joint, noisy
from windtunnel.report.joint import figure, headline, law, report
from windtunnel.scaling.laws.chinchilla import Chinchilla


def test_the_curve_is_the_law_that_was_fitted() -> None:
    theta = {"A": 60.0, "B": 900.0, "E": 1.9, "alpha": 0.6, "beta": 0.5}
    x = {"N": np.array([1e5, 1e6]), "D": np.array([1e6, 1e7])}
    assert law(theta, **x) == pytest.approx(
        Chinchilla().predict(np.array([[*theta.values()]]), x)[0]
    )


def test_the_report_shows_the_constant_beside_the_truth(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(0.002), tmp_path, entropy_rate_nats=E)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = " ".join((tmp_path / "table.txt").read_text().split())
    for words in ("entropy rate of the source", "1.9000", "E of the joint fit", "c of the fit at",
                  "folded into the constant", "excludes one 5 % higher"):  # fmt: skip
        assert words in written


def test_the_figure_shows_both_directions_and_the_constants(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(0.002), tmp_path, entropy_rate_nats=E)
    drawn = figure(result)
    assert [axes.get_xscale() for axes in drawn.axes] == ["log", "log"]
    for axes in drawn.axes:
        labels = axes.get_legend_handles_labels()[1]
        assert any("fitted constant E" in label for label in labels)
        assert "true entropy rate" in labels
        assert any("fitted at D = 2 M alone" in label for label in labels)
        assert len(axes.texts) == 4
    assert f"entropy rate of the source {E:.3f}" in headline(result)


def test_too_few_runs_are_still_reported(tmp_path: Path) -> None:
    result = conclude(made_joint(), lambda job: None, tmp_path)
    report(result, tmp_path)
    assert headline(result).startswith("Too few runs")
    assert "nothing was fitted" in (tmp_path / "table.txt").read_text()
