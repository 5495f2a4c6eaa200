from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.scaling.test_request import PLAIN
from windtunnel.report.fit import figure, headline, image, laws, shown, tables
from windtunnel.scaling.answer import Answer, answer
from windtunnel.scaling.laws import listing
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.table import read_table

EPOCH = np.array([[482.01, 2085.43, 1.8172, 0.3478, 0.3658]])  # Besiroglu et al. 2024, 2404.10102


def text(parts: Any) -> str:
    page = io.StringIO()
    for part in parts:
        Console(file=page, width=120).print(part)
    return page.getvalue()


def ask(folder: Path, **changes: Any) -> Answer:
    """A question to 24 runs of Chinchilla's law with a little noise."""
    N, D = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e11, 4))
    )
    loss = Chinchilla().predict(EPOCH, {"N": N, "D": D})[0]
    loss *= np.exp(0.003 * np.random.default_rng(0).standard_normal(len(N)))
    rows = zip(N.tolist(), D.tolist(), loss.tolist(), strict=True)
    path = folder / "runs.csv"
    path.write_text("\n".join(["N,D,L", *(f"{n!r},{d!r},{x!r}" for n, d, x in rows)]))
    settings: dict[str, Any] = {"columns": "", "targets": ({"N": 7e10, "D": 1.4e12},)}
    return answer(replace(PLAIN, **(settings | changes)), read_table(path))


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (477.82, 350.0, 600.0, "480"),
        (2143.4, 1200.0, 5300.0, "2100"),
        (0.347312, 0.324, 0.366, "0.347"),
        (-0.42311, -0.5, -0.35, "-0.423"),
        (2.92330, 0.0, 3.1, "2.9"),
        (1.97388, 1.97386, 1.97390, "1.973880"),
        (0.0, 0.0, 1.5, "0"),
        (7.3213e10, 5e10, 1.1e11, "7.3e+10"),
        (3.2e-7, 1e-7, 5e-7, "3.2e-07"),
        (1.97388, None, None, "1.974"),
        (2.0, 2.0, 2.0, "2"),
        (None, 0.0, None, "no end"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_supports(
    value: float | None, low: float | None, high: float | None, words: str
) -> None:
    assert shown({"value": value, "low": low, "high": high}, "value") == words


def test_the_tables_hold_what_was_found(tmp_path: Path) -> None:
    found = ask(tmp_path, budgets=(5.76e23,), level=0.9).values
    page = text(tables(found))
    for words in (
        "chinchilla: L = E + A / N^alpha + B / D^beta",
        "90 % interval",
        "exponent of the parameters",
        "N = 70 B, D = 1.4 T",
        "5.88e+23",
        "Best N and D",
        "Fitted to 24 of 24 rows (huber log, delta 0.001)",
        "300 starts",
        "Intervals: bootstrap over residuals, 500 resamples",
        "Held out (the largest tenth of the sizes, fitted without them; runs: 2)",
        "For the FLOPs of these runs once more",
    ):
        assert words in " ".join(page.split()), words
    assert headline(found) in page
    assert headline(found).startswith("Predicted 1.9")


def test_what_is_not_identified_is_not_shown_as_a_number(tmp_path: Path) -> None:
    found = ask(tmp_path).values
    found["parameters"]["E"]["identified"] = False
    found["warnings"] = ["E is not identified: see there"]
    page = text(tables(found))
    (line,) = (line for line in page.splitlines() if line.startswith("E "))
    assert "not identified" in line
    assert f"{found['parameters']['E']['value']:.3f}" not in line
    assert "note: E is not identified: see there" in page


def test_laws_are_compared_and_reasons_shortened(tmp_path: Path) -> None:
    found = ask(tmp_path, law="auto").values
    page = text(tables(found))
    assert "Laws on the largest tenth" in page
    assert "column D: the table mixes lengths of training" in page
    assert " ..." in page


def test_without_targets_the_headline_is_the_score(tmp_path: Path) -> None:
    found = ask(tmp_path, targets=()).values
    assert headline(found).startswith("chinchilla predicts 2 runs that it was not fitted to within")
    found["holdout"] = None
    assert headline(found) == "chinchilla fitted to 24 runs, and judged on none"
    assert "Predictions" not in text(tables(found))


def test_an_answer_without_intervals_is_still_shown(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("N,L\n1,4\n10,3\n")
    request = replace(PLAIN, law="power_law", columns="", targets=({"N": 100.0},))
    found = answer(request, read_table(path))
    page = text(tables(found.values))
    assert "none, since no degree of freedom is left" in " ".join(page.split())
    assert "Predicted 2.25 - at N = 100" in page
    assert image(figure(found.values, found.drawing), "png").startswith(b"\x89PNG")


def test_every_law_is_listed_with_its_formula() -> None:
    page = text([laws(listing())])
    for law in listing():
        assert law.name in page
    assert "L = E + A / N^alpha + B / D^beta" in page


def labels(axes: Any) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def test_a_figure_of_two_columns_sets_law_beside_runs(tmp_path: Path) -> None:
    found = ask(tmp_path, holdout="N > 5e9")
    left, right = figure(found.values, found.drawing).axes
    assert labels(left) == ["fitted runs", "runs held out", "predicted"]
    points = {str(line.get_label()): line for line in left.lines}
    assert len(points["fitted runs"].get_xdata()) == 20
    assert len(points["runs held out"].get_xdata()) == 4
    errors = {str(line.get_label()): line for line in right.lines}["runs held out"].get_ydata()
    np.testing.assert_allclose(
        max(errors, key=abs), 100 * found.values["holdout"]["max_error"], rtol=1e-9
    )


def test_a_figure_of_one_column_draws_the_curve(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = "\n".join(f"{n},{3 + 1 / n + 0.01 * (-1) ** n}" for n in (1, 2, 3, 5, 8, 13, 21, 34))
    path.write_text(f"N,L\n{rows}\n")
    request = replace(PLAIN, law="power_law_constant", columns="", targets=({"N": 900.0},))
    found = answer(request, read_table(path))
    left, _ = figure(found.values, found.drawing).axes
    assert left.get_xscale() == "log"
    assert "90 % prediction interval of one run" in labels(left)
    assert "predicted" in labels(left)


def test_an_unknown_kind_of_figure_is_refused(tmp_path: Path) -> None:
    found = ask(tmp_path)
    drawn = figure(found.values, found.drawing)
    assert image(drawn, "svg").startswith(b"<?xml")
    with pytest.raises(ValueError, match=r"figure: expected one of .*png.*; got 'docx'"):
        image(drawn, "docx")
