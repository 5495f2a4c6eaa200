"""The command line over two pairs of tables, and what it prints."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from scripts.fit_mixture import main
from tests.scaling.mixture.planted import law, planted
from windtunnel.report.fit_mixture import headline

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tables")
    paths = []
    for seed, n in ((1, 120), (2, 40)):
        rows = planted(n, seed=seed, sd=0.01)
        for kind, names, values in (
            ("weights", NAMES, rows.weights_MS),
            ("losses", ("loss",), rows.loss_M[:, None]),
        ):
            lines = [",".join(names), *(",".join(map(repr, row)) for row in values.tolist())]
            paths.append(folder / f"{kind}{seed}.csv")
            paths[-1].write_text("\n".join(lines) + "\n")
    return [str(path) for path in paths]


def command(tables: list[str], *more: str) -> list[str]:
    fitted, test = tables[:2], tables[2:]
    small = ["--draws", "1000", "--top", "20", "--trees", "100", "--rate", "0.05"]
    return [*fitted, "--target", "loss", "--test", *test, *small, *more]


def answered(capsys: pytest.CaptureFixture, arguments: list[str]) -> dict[str, Any]:
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("regressor", "least"),
    [
        ("lightgbm", 0.93),
        ("gaussian_process", 0.98),
        ("ridge", 0.98),
        ("log_linear", 0.99),
        ("least_squares", 0.9),
    ],
)
def test_every_regressor_answers_in_json(
    tables: list[str], capsys: pytest.CaptureFixture, regressor: str, least: float
) -> None:
    found = answered(capsys, command(tables, "--regressor", regressor, "--json"))
    assert {"spearman", "mse", "best_mixture"} <= set(found)
    assert found["spearman"] > least
    assert found["spearman_low"] < found["spearman"] <= found["spearman_high"] <= 1
    assert found["mse"] < found["variance"]
    assert (found["n_fit"], found["n_test"]) == (120, 40)
    best_S = np.array([found["best_mixture"][name] for name in NAMES])
    assert law(best_S) < np.quantile(planted(40, seed=2).loss_M, 0.2)
    assert np.sum(list(found["best_mixture"].values())) == pytest.approx(1)


def test_no_weight_of_the_best_is_beyond_what_was_fitted_or_the_bound(
    tables: list[str], capsys: pytest.CaptureFixture
) -> None:
    found = answered(capsys, command(tables, "--regressor", "ridge", "--bound", "0.4", "--json"))
    assert max(found["best_mixture"].values()) <= 0.4
    assert all(found["bound"][name] <= 0.4 for name in NAMES)


def test_patience_changes_the_trees(tables: list[str], capsys: pytest.CaptureFixture) -> None:
    fixed, patient = (
        answered(capsys, command(tables, "--json", "--rate", "0.5", *more))
        for more in ([], ["--patience", "1"])
    )
    assert fixed["mse"] != patient["mse"]


def test_the_text_can_be_read(tables: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(command(tables, "--regressor", "ridge")) == 0
    printed = capsys.readouterr().out
    for words in ("Spearman", "ridge", "The best mixture", "mean of the fitted", "best one is"):
        assert words in printed


def test_a_regressor_that_learned_nothing_says_so(
    tables: list[str], capsys: pytest.CaptureFixture
) -> None:
    found = answered(capsys, command(tables, "--rows-per-leaf", "100", "--json"))
    assert found["spearman"] is None
    assert any("same loss for every mixture" in words for words in found["warnings"])
    assert headline(found) == "lightgbm cannot tell the mixtures apart"
    assert main(command(tables, "--rows-per-leaf", "100")) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--target", "los"], "target: expected a column of"),
        (["--draws", "0"], "--draws: expected at least 1, got 0"),
        (["--bootstrap", "0"], "--bootstrap: expected at least 1, got 0"),
        (["--level", "95"], "--level: expected a probability between 0 and 1, got 95.0"),
        (["--bound", "1.5"], "--bound: expected a weight above 0 and at most 1, got 1.5"),
        (["--bound", "0.1"], "bounds: expected a sum of at least 1"),
        (["--trees", "0"], "n_trees: expected at least 1"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    tables: list[str], capsys: pytest.CaptureFixture, more: list[str], words: str
) -> None:
    assert main(command(tables, *more)) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
