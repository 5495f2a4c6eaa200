from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.studies.armed import loss_of, run, scored
from tests.studies.test_difference import made_difference
from windtunnel.report.arms import headline, report


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        (
            {"chosen": 0.1},
            r"Best: chosen \(3\.\d+ nats\), 0\.[01]\d+ less than random, beyond doubt",
        ),
        ({"random": 0.1}, r"No choice of text beats random \(3\.9\d+ nats\)"),
        ({"pool": 1e-4}, r"Best: \w+ .* not beyond doubt"),
    ],
)
def test_a_study_is_told_in_tables_and_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gains: dict[str, float], words: str
) -> None:
    result, _, _ = run(
        made_difference(),
        loss_of(gains, 0.01),
        tmp_path,
        {"scores": scored(["difference"], 700_000)},
    )
    assert re.search(words, headline(result))
    report(result, tmp_path)
    told = (tmp_path / "table.txt").read_text()
    assert capsys.readouterr().out
    for expected in ("chosen", "By domain", "Scored: 7 documents, 700 k tokens", "The large model"):
        assert expected in told
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_a_study_without_scores_is_told_too(tmp_path: Path) -> None:
    study = made_difference()
    result = study.conclude({}, tmp_path)
    report(result, tmp_path)
    assert headline(result) == "No choice of text left a loss"
    assert "nothing was scored" in (tmp_path / "table.txt").read_text()
