"""A job that goes on from another's checkpoint ends where it would have ended alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.test_run import corpus, settings
from windtunnel.branch import start_of
from windtunnel.checkpoint import checkpoint_path, kept_path, read
from windtunnel.config import compose
from windtunnel.interfaces import Record
from windtunnel.run import prepare, run

__all__ = ["corpus"]
STABLE = ("schedule=constant", "callbacks=keep_checkpoints", "callbacks.keep.tokens=[2600,4096]")


def trained(folder: Path, overrides: Sequence[str]) -> Record:
    run(compose(None, overrides), folder)
    return Record.load(folder)


def branch(source: Path, tokens: int) -> list[str]:
    return ["branch=checkpoint", f"branch.folder={source}", f"branch.tokens={tokens}"]


@pytest.fixture(scope="module")
def stable(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """Sixteen steps of 256 tokens at the full rate."""
    home = tmp_path_factory.mktemp("stable")
    made = settings(corpus, home, "budget.tokens=4096", *STABLE)
    return home / "job", trained(home / "job", made)


@pytest.mark.parametrize(
    ("schedule", "total", "at"),
    [("schedule.decay_fraction=0.5", 5120, 2560), ("schedule.decay_fraction=0.2", 5120, 4096)],
)
def test_a_branch_equals_the_whole_run_bit_for_bit(
    corpus: Path, stable: tuple[Path, Record], tmp_path: Path, schedule: str, total: int, at: int
) -> None:
    """From the middle, and from the end of the stable run."""
    source, before = stable
    more = ("schedule=wsd", schedule, f"budget.tokens={total}")
    whole = trained(tmp_path / "whole", settings(corpus, tmp_path, *more))
    tail = trained(tmp_path / "tail", settings(corpus, tmp_path, *more, *branch(source, at)))
    assert tail.evaluation == whole.evaluation
    assert tail.train_curve == whole.train_curve
    assert (tail.tokens, tail.steps) == (whole.tokens, whole.steps)
    assert tail.inputs == [before.job]
    ends = [read(checkpoint_path(tmp_path / name)) for name in ("whole", "tail")]
    for name, tensor in ends[0]["state_dict"].items():
        assert torch.equal(tensor, ends[1]["state_dict"][name])
    rates = [[g["lr"] for g in end["optimizer_states"][0]["param_groups"]] for end in ends]
    assert rates[0] == rates[1]
    assert (
        before.train_curve.values
        == whole.train_curve.values[: at // 256] + (before.train_curve.values[at // 256 :])
    )


def test_a_stopped_branch_goes_on_from_its_own_checkpoint(
    corpus: Path, stable: tuple[Path, Record], tmp_path: Path
) -> None:
    more = ("schedule=wsd", "schedule.decay_fraction=0.5", *branch(stable[0], 2560))
    given = settings(corpus, tmp_path, *more)
    tail = trained(tmp_path / "tail", given)
    (tmp_path / "tail/record.json").unlink()
    kept_path(stable[0], 2560).rename(tmp_path / "away")
    try:
        with pytest.raises(ValueError, match=r"branch\.tokens must be where"):
            prepare(compose(None, given))
    finally:
        (tmp_path / "away").rename(kept_path(stable[0], 2560))
    again = trained(tmp_path / "tail", given)
    assert again.evaluation == tail.evaluation
    assert again.train_curve == tail.train_curve


def test_checkpoints_are_kept_at_whole_steps(stable: tuple[Path, Record]) -> None:
    names = sorted(path.name for path in (stable[0] / "checkpoints").glob("tokens-*"))
    assert names == ["tokens-2560.ckpt", "tokens-4096.ckpt"]
    assert read(kept_path(stable[0], 2560))["global_step"] == 10


def test_a_job_without_a_branch_starts_anew(corpus: Path, tmp_path: Path) -> None:
    cfg = compose(None, settings(corpus, tmp_path))
    assert "branch" not in cfg
    budget, data = prepare(cfg)
    assert start_of(cfg, budget, data) is None


REFUSED = [
    (["branch.folder=/nowhere"], r"branch\.folder must be the folder of a job.*nowhere"),
    (["branch.tokens=2816"], r"branch\.tokens must be where .*\[2560, 4096\].*got 2816.*keep_"),
    (["budget.tokens=2560"], r"budget\.tokens must be more than branch\.tokens=2560"),
    (["model.width=32"], r"same model, .*other values of model\.width"),
    (["optim.lr=0.5"], r"other values of optim\.lr"),
    (["batch.sequences=4"], r"other values of batch\.sequences"),
    (["schedule.decay_fraction=0.8"], r"the decay must begin after branch\.tokens=2560.*shorten"),
    (["schedule.warmup_tokens=1024"], r"rates up to branch\.tokens=2560.*at step 1: .*warm-up"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_what_cannot_be_gone_on_with_is_refused(
    corpus: Path, stable: tuple[Path, Record], tmp_path: Path, changes: list[str], words: str
) -> None:
    more = ("schedule=wsd", "schedule.decay_fraction=0.5", *branch(stable[0], 2560))
    given = [*settings(corpus, tmp_path, *more), *changes]
    with pytest.raises(ValueError, match=words):
        prepare(compose(None, given))


def test_the_order_of_the_data_may_change(
    corpus: Path, stable: tuple[Path, Record], tmp_path: Path
) -> None:
    more = ("schedule=constant", "batch.seed=7", *branch(stable[0], 2560))
    cfg = compose(None, settings(corpus, tmp_path, *more))
    budget, data = prepare(cfg)
    start = start_of(cfg, budget, data)
    assert start is not None
    assert start.checkpoint == kept_path(stable[0], 2560)


@pytest.fixture
def altered(stable: tuple[Path, Record], tmp_path: Path) -> Path:
    """A copy of the stable run's folder, whose record a test may change."""
    kept_path(tmp_path / "source", 2560).parent.mkdir(parents=True)
    kept_path(tmp_path / "source", 2560).symlink_to(kept_path(stable[0], 2560))
    stable[1].save(tmp_path / "source")
    return tmp_path / "source"


def change(folder: Path, section: str, **values: object) -> None:
    record = json.loads((folder / "record.json").read_text())
    place = record[section] if section == "data" else record["config"][section]
    place |= values
    (folder / "record.json").write_text(json.dumps(record))


def test_a_source_that_has_begun_to_decay_is_refused(
    corpus: Path, altered: Path, tmp_path: Path
) -> None:
    wsd = {"_target_": "windtunnel.optim.schedule.wsd", "decay_fraction": 0.5, "final": 0.0}
    change(altered, "schedule", **wsd)
    for schedule in ("schedule=wsd", "schedule=constant"):
        given = settings(corpus, tmp_path, schedule, *branch(altered, 2560))
        with pytest.raises(ValueError, match=r"before job begins to decay, got 2560.* 0\.812"):
            prepare(compose(None, given))


def test_a_source_of_another_tokenizer_is_refused(
    corpus: Path, altered: Path, tmp_path: Path
) -> None:
    change(altered, "data", tokenizer="0" * 12)
    given = settings(corpus, tmp_path, "schedule=constant", *branch(altered, 2560))
    with pytest.raises(ValueError, match=r"with the tokenizer of this one, got job"):
        prepare(compose(None, given))
