from __future__ import annotations

from pathlib import Path

from tests.studies.test_curriculum_by_decay import made_study, run
from windtunnel.report.curriculum_by_decay import figure, headline, report


def test_the_report_says_what_decay_takes_and_what_is_best(tmp_path: Path) -> None:
    result, _, _ = run(made_study(), tmp_path)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    said = headline(result)
    assert said.startswith("ascending gains 0.")
    assert "nats under constant; linear takes +0.1" in said
    assert said.endswith("from it (average)")
    first = next(line for line in written.splitlines() if line.startswith(("uniform", "asc")))
    assert first.startswith("ascending, constant, average ")
    for words in ("Gained over uniform", "Taken of the gain under constant", "edge", "-6.64"):
        assert words in written


def test_the_figure_has_a_line_for_each_order_and_weights(tmp_path: Path) -> None:
    result, _, _ = run(made_study(), tmp_path)
    left, right = figure(result).axes
    assert len(left.get_legend_handles_labels()[1]) == 4
    dots = [line for line in right.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [3, 3]  # type: ignore[arg-type]


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    result = made_study().conclude({}, tmp_path)
    report(result, tmp_path)
    assert headline(result).startswith("Undecided")
