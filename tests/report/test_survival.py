from __future__ import annotations

from pathlib import Path

from tests.studies.test_survival import conclude, made_study
from windtunnel.report.survival import figure, report


def test_the_report_shows_who_survives_and_what_it_costs(tmp_path: Path) -> None:
    report(conclude(made_study(), tmp_path), tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in (
        "schedule.factor=1000.0",
        "3 of 3",
        "3 diverged",
        "0.0300",
        "+25 %",
        "12 (1.00)",
        "at most 0.1 nats",
        "survive: guard; collapse: clipping",
    ):
        assert words in " ".join(written.split())


def test_every_variant_is_a_line_in_both_panels(tmp_path: Path) -> None:
    calm, fault = figure(conclude(made_study(), tmp_path)).axes
    assert fault.get_legend_handles_labels()[1] == ["clipping", "guard", "luck"]
    assert [len(line.get_xdata()) for line in calm.lines] == [2, 2, 2]
    assert [len(line.get_xdata()) for line in fault.lines] == [1, 2, 2]


def test_nothing_trained_is_still_reported(tmp_path: Path) -> None:
    report(made_study().conclude({}, tmp_path), tmp_path)
    assert "collapse: clipping, guard, luck" in (tmp_path / "table.txt").read_text()
