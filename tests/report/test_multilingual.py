from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.mixed import trained
from tests.studies.test_multilingual import languages, made_study, run
from windtunnel.report.multilingual import figure, headline, report, tables


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(made_study(), tmp_path_factory.mktemp("study"))[0]


def test_laws_shares_and_losses_are_reported(result: dict[str, Any], tmp_path: Path) -> None:
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in ("gamma", "alpha_0.3", "unimax", "Shares of the sampling", "less optimal"):
        assert words in written
    cost = -result["against"]["alpha_1"]["mean"]
    assert f"alpha_1 {cost:+.3f} [" in headline(result)


def test_the_figure_draws_laws_shares_and_seeds(result: dict[str, Any]) -> None:
    laws, shares, losses = figure(result).axes
    assert len(laws.get_legend_handles_labels()[1]) == 4
    assert len(shares.patches) == 4 * 4
    dots = [line for line in losses.lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in dots] == [3, 3, 3, 3]


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    study, records = made_study(seeds=1), {}
    for _ in range(2):
        records |= {job.name: trained(job, languages) for job in study.propose(records, tmp_path)}
    study.propose(records, tmp_path)
    untried = study.conclude(records, tmp_path)
    assert headline(untried) == "The best ratio was predicted and has not been tried"
    last = {job.name: trained(job, languages) for job in study.propose(records, tmp_path)}
    one_seed = study.conclude(records | last, tmp_path)
    assert "[" not in headline(one_seed)
    nothing = study.conclude({}, tmp_path)
    assert headline(nothing) == "Nothing was predicted"
    for found in (untried, one_seed, nothing):
        assert tables(found)
        assert len(figure(found).axes) == 3
