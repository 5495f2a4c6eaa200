"""Whatever a job is made of, one that was cut off goes on to the same bits.

Each job is run whole; its folder is copied in the middle of a step, as a power cut leaves it, and
the job goes on in the copy.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.faults.jobs import Snapshots, composed, corpus, differences, left, watching, work
from windtunnel.checkpoint import find, read
from windtunnel.config import CONF


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


OPTIMISERS, SCHEDULES = options("optim"), options("schedule")
AVERAGES = [*options("averaging"), "null"]
CALLBACKS = [name for name in options("callbacks") if name != "default"]
# Every optimiser, schedule and average at least once.
ONCE = [
    (
        OPTIMISERS[i % len(OPTIMISERS)],
        SCHEDULES[i % len(SCHEDULES)],
        AVERAGES[i % len(AVERAGES)],
    )
    for i in range(max(map(len, (OPTIMISERS, SCHEDULES, AVERAGES))))
]
GRID = [
    one for one in product(OPTIMISERS, ("linear", "cosine", "wsd"), AVERAGES) if one not in ONCE
]
FAST = 3
TABLE = "tokens,multiplier\n0,0\n100,1\n800,0.2\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("resume")
    (home / "table.csv").write_text(TABLE)
    return corpus(home / "text")


def cut_off_and_gone_on(text: Path, tmp_path: Path, *more: str) -> tuple[Any, Any]:
    """What a job leaves alone, and cut off in its fifth step."""
    without = ("schedule.warmup_tokens=128",) if "schedule=table" in more else ()
    cfg = composed(text, *more, without=without)
    home = tmp_path / "whole"
    cuts = Snapshots(home, tmp_path / "cut", lambda name, n: (name, n) == ("step", 5))
    with watching(cuts):
        work(cfg, home)
    whole = left(home)
    last = find(cuts.taken["step"])
    assert last is not None
    assert read(last)["global_step"] == 4
    work(cfg, cuts.taken["step"])
    return whole, left(cuts.taken["step"])


def setting(text: Path, schedule: str) -> list[str]:
    found = [f"schedule={schedule}"]
    if schedule == "table":
        return [*found, f"schedule.path={text.parent / 'table.csv'}"]
    return found


@pytest.mark.parametrize(
    ("optim", "schedule", "averaging"),
    [
        *ONCE[:FAST],
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (*ONCE[FAST:], *GRID)),
    ],
)
def test_a_resumed_job_ends_with_the_same_bits(
    text: Path, tmp_path: Path, optim: str, schedule: str, averaging: str
) -> None:
    more = [f"optim={optim}", f"averaging={averaging}", *setting(text, schedule)]
    if averaging != "null":
        more.append("callbacks.averaging.every_tokens=128")
    whole, resumed = cut_off_and_gone_on(text, tmp_path, *more)
    assert differences(whole, resumed) == []


@pytest.mark.slow
@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_what_callbacks_measured_outlasts_a_cut(text: Path, tmp_path: Path, callbacks: str) -> None:
    whole, resumed = cut_off_and_gone_on(text, tmp_path, f"callbacks={callbacks}")
    assert differences(whole, resumed) == []


def test_dropout_draws_on_where_it_was(text: Path, tmp_path: Path) -> None:
    whole, resumed = cut_off_and_gone_on(text, tmp_path, "model.dropout=0.5", "batch.accumulate=2")
    assert differences(whole, resumed) == []


def test_what_is_measured_at_the_end_outlasts_a_cut_before_the_record(
    text: Path, tmp_path: Path
) -> None:
    cfg, home = composed(text, "callbacks=calibration"), tmp_path / "whole"
    point = "record.json.before_write"
    cuts = Snapshots(home, tmp_path / "cut", lambda name, n: (name, n) == (point, 1))
    with watching(cuts):
        work(cfg, home)
    whole = left(home)
    assert whole["record"]["measurements"]["calibration"]["n_tokens"] > 0
    work(cfg, cuts.taken[point])
    assert differences(whole, left(cuts.taken[point])) == []


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    text: Path, tmp_path: Path
) -> None:
    cfg, home = composed(text), tmp_path / "whole"
    cuts = Snapshots(home, tmp_path / "cut", lambda name, n: (name, n) == ("step", 5))
    with watching(cuts):
        work(cfg, home)
    copy = cuts.taken["step"]
    last = copy / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-500])
    with pytest.warns(UserWarning, match=r"last\.ckpt is damaged.*going on from last-1\.ckpt"):
        work(cfg, copy)
    assert differences(left(home), left(copy)) == []


def test_a_job_whose_checkpoints_are_all_damaged_says_what_to_do(
    text: Path, tmp_path: Path
) -> None:
    cfg, home = composed(text), tmp_path / "whole"
    cuts = Snapshots(home, tmp_path / "cut", lambda name, n: (name, n) == ("step", 5))
    with watching(cuts):
        work(cfg, home)
    copy = cuts.taken["step"]
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="None is left to go on from: bring one back from a copy"):
        work(cfg, copy)
