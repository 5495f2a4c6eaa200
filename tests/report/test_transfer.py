from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.test_transfer import bowl, conclude, made_transfer
from windtunnel.interfaces import Job
from windtunnel.report.transfer import figure, report

USUAL = bowl(lambda d: -7.1, lambda d: -6.2 - 0.9 * d)


def loss(job: Job) -> float | None:
    return None if job.role == "control" and job.overrides["optim.lr"] > 2.0**-6 else USUAL(job)


def test_the_report_shows_best_rates_and_the_verdict(tmp_path: Path) -> None:
    result = conclude(made_transfer(), loss, tmp_path)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in ("control: standard", "-7.10", "the best learning rate transfers", "diverged"):
        assert words in written


def test_every_width_is_a_curve_with_its_minimum_marked(tmp_path: Path) -> None:
    drawn = figure(conclude(made_transfer(), loss, tmp_path))
    assert len(drawn.axes) == 2
    for axes in drawn.axes:
        labels = axes.get_legend_handles_labels()[1]
        assert labels == ["width 32", "width 64", "width 128", "width 256"]
        marks = [line for line in axes.lines if line.get_marker() == "v"]
        assert len(marks) == 4
    minima = [float(line.get_xdata()[0]) for line in drawn.axes[0].lines
              if line.get_marker() == "v"]  # fmt: skip
    assert minima == pytest.approx([-7.1] * 4, abs=0.05)
    crosses = [line for line in drawn.axes[1].lines if line.get_marker() == "x"]
    assert all(list(line.get_xdata()) == [-5.0] for line in crosses)


def test_nothing_but_divergence_is_still_reported(tmp_path: Path) -> None:
    report(conclude(made_transfer(control=None), lambda job: None, tmp_path), tmp_path)
    assert "no learning rate gave a loss" in (tmp_path / "table.txt").read_text()
