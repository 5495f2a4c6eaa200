from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.test_phases import made_study, outcome, run
from windtunnel.report.phases import figure, headline, report, tables


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(made_study(), tmp_path_factory.mktemp("study"))[0]


def test_gained_and_forgotten_are_reported(result: dict[str, Any], tmp_path: Path) -> None:
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in ("replay 0.2", "forgotten", "gained", "0.2 to 1", "code, news"):
        assert words in written
    assert "falls beyond doubt in 2 of 2 steps" in headline(result)
    forgotten = result["arms"]["0"]["forgotten"]["mean"]
    assert f"{forgotten:+.3f} nats with replay 0," in headline(result)


def test_the_figure_draws_both_measures_and_the_trade(result: dict[str, Any]) -> None:
    shares, trade = figure(result).axes
    assert shares.get_legend_handles_labels()[1] == ["forgotten", "gained"]
    assert [text.get_text() for text in trade.texts] == [
        "before", "replay 0", "replay 0.2", "replay 1"
    ]  # fmt: skip


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    study, records = made_study(seeds=1), {}
    while batch := study.propose(records, tmp_path):
        records |= {job.name: outcome(job) for job in batch}
    one_seed = study.conclude(records, tmp_path)
    assert "in 0 of 2 steps" in headline(one_seed)
    nothing = study.conclude({}, tmp_path)
    assert headline(nothing).startswith("Nothing can be said")
    for found in (one_seed, nothing):
        assert tables(found)
        assert len(figure(found).axes) == 2
