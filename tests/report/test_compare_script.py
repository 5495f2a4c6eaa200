"""The command line that compares two designs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import compare as script


def rows(a: float) -> str:
    runs = [f"{n},{a * n**-0.2 + 0.01 * (-1) ** n:.5f}" for n in range(1, 13)]
    return "\n".join(["N,L", *runs])


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name, a in (("muon", 3.0), ("adamw", 3.3)):
        (tmp_path / f"{name}.csv").write_text(rows(a))
    paths = [str(tmp_path / f"{name}.csv") for name in ("muon", "adamw")]
    return [*paths, "--law", "power_law", "--predict", "N=100", "--bootstrap", "60"]


def test_it_says_which_is_better_and_writes_it(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "out.json", tmp_path / "out.svg"
    more = ["--pair", "N", "--out", str(out), "--figure", str(picture)]
    assert script.main([*words, *more]) == 0
    found = json.loads(out.read_text())
    assert found["probability"] == 1.0
    assert found["difference"] == pytest.approx(-0.3 * 100**-0.2, rel=0.05)
    assert "<svg" in picture.read_text()
    assert "muon is better with probability 1.000" in capsys.readouterr().out


def test_equal_designs_are_undecided(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words[1] = words[0]
    assert script.main([*words, "--names", "one,other"]) == 0
    assert "Undecided: one is better with probability" in capsys.readouterr().out


@pytest.mark.parametrize("names", ["one", "a,a", "a,b,c"])
def test_two_names_are_needed(
    words: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([*words, "--names", names]) == 2
    assert "names: expected two names" in capsys.readouterr().err


def test_a_missing_table_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words[1] = "/nowhere.csv"
    assert script.main(words) == 2
    assert "/nowhere.csv: expected a CSV file or a folder" in capsys.readouterr().err
