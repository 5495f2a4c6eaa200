from __future__ import annotations

from pathlib import Path

from tests.made import made_record
from tests.studies.test_coordinates import conclude, made_study, usual
from windtunnel.report.coordinates import figure, report


def test_the_report_shows_slopes_and_the_verdict(tmp_path: Path) -> None:
    result = conclude(made_study(), usual, tmp_path, zero="logits")
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    for words in ("block 0", "step 10", "-0.10", "+0.90", "activations keep their size, and"):
        assert words in written


def test_every_layer_is_a_line_with_its_slope(tmp_path: Path) -> None:
    drawn = figure(conclude(made_study(), usual, tmp_path))
    main, control = drawn.axes
    assert main.get_legend_handles_labels()[1] == [
        "embedding  -0.10", "block 0  -0.10", "logits  -0.10"]  # fmt: skip
    assert "block 0  +0.90" in control.get_legend_handles_labels()[1]
    assert main.get_ylim() == control.get_ylim()
    assert list(main.lines[0].get_xdata()) == [32, 64, 128, 256]


def test_nothing_measured_is_still_reported(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: made_record(job, 5.0) for job in study.plan()}
    report(study.conclude(records, tmp_path), tmp_path)
    assert "undecided" in (tmp_path / "table.txt").read_text()
