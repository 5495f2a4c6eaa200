from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.mixed import trained
from tests.studies.test_regmix import bowl, made_study, run
from windtunnel.report.regmix import figure, headline, report, tables


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(made_study(), tmp_path_factory.mktemp("study"))[0]


def test_the_report_says_what_was_gained(result: dict[str, Any], tmp_path: Path) -> None:
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in (
        "ridge (chooses)",
        "wiki",
        "best proxy's",
        "most epochs",
        "ridge predicts",
        "varies by",
    ):
        assert words in written
    gain = -result["against"]["natural"]["mean"]
    assert f"natural {gain:+.3f} [" in headline(result)
    assert gain > 0


def test_the_figure_draws_fits_mixtures_and_losses(result: dict[str, Any]) -> None:
    fits, shares, losses = figure(result).axes
    labels = fits.get_legend_handles_labels()[1]
    assert [label.split(":")[0] for label in labels][:2] == ["ridge", "plane"]
    diamonds = [line for line in fits.lines if line.get_marker() == "D"]
    small = [own["small"]["mean"] for own in result["candidates"].values()]
    assert [line.get_ydata()[0] for line in diamonds] == small
    assert len(shares.patches) == 4 * len(result["tokens"])
    dots = [line for line in losses.lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in dots] == [3, 3, 3, 3]


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    study, records = made_study(seeds=1), {}
    for _ in range(2):
        records |= {job.name: trained(job, bowl) for job in study.propose(records, tmp_path)}
    study.propose(records, tmp_path)
    untried = study.conclude(records, tmp_path)
    assert headline(untried) == "A mixture was chosen and has not been tried"
    one_seed = study.conclude(
        records | {job.name: trained(job, bowl) for job in study.propose(records, tmp_path)},
        tmp_path,
    )
    assert "[" not in headline(one_seed)
    nothing = study.conclude({}, tmp_path)
    assert headline(nothing) == "Nothing was predicted"
    for found in (untried, one_seed, nothing):
        assert tables(found)
        assert len(figure(found).axes) == 3
