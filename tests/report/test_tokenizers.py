from __future__ import annotations

from pathlib import Path

from tests.studies.test_tokenizers import made_tokenizers, run
from windtunnel.report.tokenizers import figure, headline, report


def test_the_report_names_the_best_on_either_basis(tmp_path: Path) -> None:
    result, _, _ = run(made_tokenizers(), tmp_path)
    report(result, tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "table.txt").read_text()
    assert headline(result).startswith("Best at equal compute: small (2.4")
    for words in ("50.0 %", "less small", "efficiency", "edge of the grid", "-6.64"):
        assert words in written


def test_the_figure_has_every_tokenizer_three_times(tmp_path: Path) -> None:
    result, _, _ = run(made_tokenizers(), tmp_path)
    sizes, curves, entropy = figure(result).axes
    assert [len(bar.lines[0].get_xdata()) for bar in sizes.containers] == [3, 3]  # type: ignore[attr-defined]
    assert curves.get_legend_handles_labels()[1] == ["bytes", "small", "large"]
    assert len(entropy.lines) == 3


def test_what_did_not_train_is_still_reported(tmp_path: Path) -> None:
    result = made_tokenizers().conclude({}, tmp_path)
    report(result, tmp_path)
    assert headline(result) == "No tokenizer left a loss"
