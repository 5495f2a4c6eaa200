"""Every named point: a job that ends there goes on as if it had not, and leaves nothing half done.

One test copies the job's folder at each point, which is what a power cut leaves, and lets the job
go on in the copy; the other one kills a process there. Those of a study: tests/plugins/test_study.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.jobs import (
    Snapshots,
    composed,
    corpus,
    differences,
    ended,
    left,
    watching,
    work,
)
from windtunnel import faults
from windtunnel.run import prepare

WRITTEN = (
    "config.json",
    "choices.json",
    "progress.json",
    "metrics.csv",
    "last.ckpt",
    "record.json",
)
WRITE = ("before_write", "during_write", "before_rename", "after_rename")
POINTS = {
    *(f"{file}.{place}" for file in WRITTEN for place in WRITE),
    "last.ckpt.during_rotation",
    "metrics.csv.during_append",
    "step",
    "evaluation.start",
    "evaluation.end",
    "averaging.exchanged",
    "averaging.restored",
    "rollback.before",
    "rollback.after",
}
MORE = (
    "averaging=ema",
    "model.dropout=0.1",
    "stability=spike_rollback",  # at whatever lies a little above the steps before it
    "callbacks.spikes.outliers={window:4,threshold:0.01,patience:1}",
    "callbacks.spikes.answer.every=1",
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("points") / "text")


@pytest.fixture(scope="module")
def whole(text: Path) -> tuple[Any, dict[str, int], dict[str, Path]]:
    """A job that was left alone, how often it passed each point, and its folder as it was there."""
    cfg = composed_once(text)
    prepare(cfg)  # so that the token store is there
    home = text.parent / "whole"
    counted: dict[str, int] = {}

    def count(name: str) -> None:
        counted[name] = counted.get(name, 0) + 1

    with watching(count):
        work(cfg, home)
    middle = {name: 1 + n // 2 for name, n in counted.items()}
    again, copies = text.parent / "again", text.parent / "copies"
    with watching(Snapshots(again, copies, lambda name, n: n == middle[name])):
        work(cfg, again)
    found = left(home)
    assert differences(found, left(again)) == []
    return found, counted, {path.name: path for path in copies.iterdir()}


def test_the_points_are_those_that_the_module_names(whole: Any) -> None:
    assert set(whole[1]) == POINTS
    assert whole[1]["last.ckpt.during_rotation"] > whole[1]["step"] == 6
    assert faults.__doc__ is not None
    for name in POINTS:
        assert name.rpartition(".")[2] in faults.__doc__


@pytest.mark.parametrize("point", sorted(POINTS))
def test_a_power_cut_at_a_point_changes_nothing(text: Path, whole: Any, point: str) -> None:
    copy = whole[2][point]
    work(composed_once(text), copy)
    assert differences(whole[0], left(copy)) == []


CONFIGS: dict[Path, Any] = {}


def composed_once(text: Path) -> Any:
    """Composing takes longer than the job."""
    if text not in CONFIGS:
        CONFIGS[text] = composed(text, *MORE)
    return CONFIGS[text]


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("point", sorted(POINTS))
def test_a_kill_at_a_point_changes_nothing(text: Path, whole: Any, point: str) -> None:
    home = text.parent / f"killed {point}"
    fault = f"{point}*{1 + whole[1][point] // 2}"
    assert ended(composed_once(text), home, fault) == -signal.SIGKILL
    assert ended(composed_once(text), home) == 0, Path(f"{home}.log").read_text()
    assert differences(whole[0], left(home)) == []
