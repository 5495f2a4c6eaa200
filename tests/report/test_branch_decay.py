from __future__ import annotations

import copy
from pathlib import Path

from tests.studies.test_branch_decay import made_study, run
from windtunnel.report.branch_decay import figure, headline, report, tables


def test_branches_stand_beside_whole_runs(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    report(result, tmp_path)
    printed = (tmp_path / "table.txt").read_text()
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    for words in ("cosine", "branches", "of them equal", "1.28 M", "+0.0100"):
        assert words in printed
    words = "Branches equal whole runs to the last bit, for 61 % of the tokens of whole runs"
    assert headline(result) == words
    left, right = figure(result).axes
    assert len(left.get_legend_handles_labels()[1]) == 3
    assert len(right.get_lines()) == 1 + 5


def test_a_difference_is_said(tmp_path: Path) -> None:
    result = copy.deepcopy(run(made_study(), tmp_path)[0])
    less = {"mean": 0.0021, "largest": 0.004, "pairs": 10, "equal": 0}
    result["arms"]["whole-wsd"]["less_branch"] = less
    assert headline(result).startswith("Whole runs end +0.0021 nats from the branches")


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    nothing = made_study().conclude({}, tmp_path)
    assert headline(nothing).startswith("Branches of one stable run cost 61 %")
    assert tables(nothing)
    assert len(figure(nothing).axes) == 2
