"""The command line: what it writes, and that what is of no use ends with 2 and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import fit as script

ROWS = "\n".join(f"{n},{round(3 + n**-0.5 + 0.01 * (-1) ** n, 4)}" for n in range(1, 13))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(f"# source: made up\nn_millions,val\n{ROWS}\n")
    return path


def words(table: Path, *more: str) -> list[str]:
    columns = "N=n_millions*1e6,L=val"
    return [str(table), "--law", "power_law_constant", "--columns", columns, *more]


def test_it_writes_what_it_says(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = table.parent / "fit.json", table.parent / "fit.png"
    more = ("--predict", "N=1e9", "--predict", "N=2e9", "--bootstrap", "60", "--holdout",
            "n_millions > 10", "--where", "n_millions > 1")  # fmt: skip
    assert script.main(words(table, *more, "--out", str(out), "--figure", str(picture))) == 0
    found = json.loads(out.read_text())
    assert {
        "law", "parameters", "objective", "rms_log", "holdout", "predictions", "starts", "warnings"
    } <= set(found)  # fmt: skip
    assert set(found["parameters"]["c"]) >= {"value", "low", "high"}
    assert set(found["holdout"]) >= {"rows", "mape", "max_error"}
    assert found["holdout"]["rows"] == 2
    assert [line["inputs"] for line in found["predictions"]] == [{"N": 1e9}, {"N": 2e9}]
    assert set(found["predictions"][0]) >= {"inputs", "loss", "low", "high"}
    assert set(found["starts"]) == {"tried", "pruned", "converged"}
    assert found["rows"] == {"read": 12, "taken": 11, "fitted": 9}
    assert found["delta"] == 1e-3
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "power_law_constant: L = a N^b + c" in capsys.readouterr().out


def test_least_squares_has_no_delta(table: Path) -> None:
    out = table.parent / "fit.json"
    assert script.main(words(table, "--objective", "least_squares", "--out", str(out))) == 0
    found = json.loads(out.read_text())
    assert (found["loss_kind"], found["delta"]) == ("least_squares", None)
    assert found["intervals"] == "profile likelihood"


def test_the_laws_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--law", "list"]) == 0
    assert "chinchilla" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--where", "n_millions >"], "invalid syntax"),
        (["--where", "n > 3"], "there is no column n; there are n_millions, val"),
        (["--columns", "N=n_millions"], "power_law_constant needs L"),
        (["--columns", "N=n_millions,L=loss"], "there is no column loss"),
        (["--columns", "N=n_millions-1,L=val"], "1 of 12 rows hold no finite number above 0"),
        (["--where", "n_millions < 3"], "expected at least 3 different N"),
        (["--predict", "N"], "expected NAME=NUMBER"),
        (["--law", "straight"], "law: expected one of"),
        (["--bootstrap", "3"], "n_resamples: expected at least 40"),
        (["--objective", "least_squares", "--delta", "1e-3"], "delta: least_squares has none"),
        (["--figure", "fit.docx"], "figure: expected one of"),
        (["--out", "gone/fit.json"], "there is no folder"),
    ],
)
def test_what_is_of_no_use_ends_with_2(
    table: Path,
    more: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(table.parent)
    assert script.main(words(table, "--out", "fit.json", *more)) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in table.parent.iterdir()] == ["runs.csv"]


def test_a_table_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--law", "chinchilla"]) == 2
    assert "TABLE: give a CSV file" in capsys.readouterr().err
    assert script.main(["none.csv", "--law", "chinchilla"]) == 2
    assert "none.csv: expected a CSV file or a folder" in capsys.readouterr().err
