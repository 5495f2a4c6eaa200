"""The command line that draws schedules."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import plot_schedule as script
from scripts.plot_schedule import curves, draw
from windtunnel.config import CONF


def test_all_schedules_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, drawn = tmp_path / "all.png", []
    monkeypatch.setattr(script, "draw", lambda lines: drawn.append(draw(lines)) or drawn[0])
    assert script.main(["--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    names = {path.stem for path in (CONF / "schedule").glob("*.yaml")}
    lines = drawn[0].axes[0].lines
    assert {line.get_label() for line in lines} == names - {"table"}
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(names) - 1


def test_overrides_reach_the_schedules_that_have_the_key(tmp_path: Path) -> None:
    drawn = curves(["constant", "linear"], ["schedule.final=0.25", "budget.tokens=3000000"])
    assert [float(drawn[name][1][-1]) for name in ("constant", "linear")] == [1.0, 0.25]
    assert drawn["constant"][0][-1] == 3e6


def test_a_table_is_drawn_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("tokens,multiplier\n0,0\n1000000,1\n")
    tokens, multipliers = curves(["table"], [f"schedule.path={path}"])["table"]
    assert multipliers == pytest.approx(tokens / 1e6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wrong"], "expected names of schedules, got wrong; there are constant, cosine"),
        (["constant", "schedule.final=1"], "schedule.final=1: none of constant has this key"),
        (["linear", "schedule.final=-1"], "schedule.final must lie in [0, 1]"),
        (["linear", "budget.tokens=0"], "budget.tokens"),
        (["table"], "schedule.path"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path, capsys, words, message) -> None:
    out = tmp_path / "out.png"
    assert script.main([*words, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["out.txt", "missing/out.png"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys, name) -> None:
    assert script.main(["constant", "--out", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err
