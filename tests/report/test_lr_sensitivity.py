from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.test_lr_sensitivity import conclude, made_study, truth
from windtunnel.interfaces import Job
from windtunnel.report.lr_sensitivity import figure, headline, report, tables


def test_sensitivities_are_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def loss(job: Job) -> float | None:
        return None if job.name == "plain-w16-lr-2.00-s1" else truth(job)

    result = conclude(loss, tmp_path)
    report(result, tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    for words in ("0.360 (0.170)", "2^-4", "1.8 decades", "6.931"):
        assert words in printed
    assert headline(result) == (
        "At the largest width calm is the least sensitive (0.360 nats), plain the most (0.900)"
    )
    *panels, last = figure(result).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Width 16", "Width 32"]
    assert len(last.containers) == 2
    crosses = [line for line in panels[0].lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [1, 0]  # type: ignore[arg-type]


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    nothing = made_study().conclude({}, tmp_path)
    assert headline(nothing) == "No sensitivity: no run left a loss"
    assert tables(nothing)
    assert len(figure(nothing).axes) == 3
