"""One process against two, by DDP and by FSDP2 on gloo: the same losses, whoever saves and resumes.

In float64 where an optimiser makes much of how float32 rounds (a sign, an orthogonal matrix).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.trainer.connectors.accelerator_connector import _AcceleratorConnector

from tests.ranks import on_ranks
from tests.test_run import WORDS, settings
from windtunnel import fsdp
from windtunnel.checkpoint import checkpoint_path, read
from windtunnel.config import compose
from windtunnel.data import batches
from windtunnel.interfaces import IGNORE_INDEX, Record
from windtunnel.optim.eco import Dropped, Momentum, Quantised
from windtunnel.optim.grid import Integer
from windtunnel.run import prepare, run
from windtunnel.training import LanguageModelling

STRATEGIES = ("ddp", "fsdp")
STOPPED_IN = 27


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains of made text."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = torch.Generator().manual_seed(0)
    for domain in ("prose", "verse"):
        (folder / domain).mkdir()
        picks = torch.randint(0, len(WORDS), (40, 60), generator=generator).tolist()
        texts = [" ".join(WORDS[i] for i in row) for row in picks]
        (folder / domain / "train.txt").write_text("\n<|endoftext|>\n".join(texts))
    return folder


def fifty_steps(corpus: Path, tmp_path: Path, *more: str) -> list[str]:
    own = ["budget.tokens=12800", "callbacks.checkpoint.sync_steps=5", *more]
    return settings(corpus, tmp_path, *own)


def trained(folder: Path, overrides: list[str]) -> Any:
    """A job, on the rank that this is; the first one has its record."""
    # Lightning refuses float64 for FSDP, and elsewhere restores weights before it makes them that.
    _AcceleratorConnector._validate_precision_choice = lambda _: None
    Strategy.restore_checkpoint_after_setup = True
    run(compose(None, overrides), folder)
    return Record.load(folder) if os.environ.get("LOCAL_RANK", "0") == "0" else None


def on_two(strategy: str, work: Callable[..., Any], folder: Path, overrides: list[str]) -> Any:
    own = [*overrides, f"trainer={strategy}", "trainer.devices=2", "trainer.compile=false"]
    return on_ranks(2, work, folder, own)[0]


def assert_same(one: Record, other: Record, abs: float) -> None:
    assert (one.steps, one.tokens) == (other.steps, other.tokens) == (50, 12800)
    for curve in ("train_curve", "eval_curve", "grad_norm_curve"):
        ours, theirs = getattr(one, curve), getattr(other, curve)
        assert ours.tokens == theirs.tokens
        assert ours.values == pytest.approx(theirs.values, abs=abs, rel=abs)
    assert one.evaluation is not None
    assert other.evaluation is not None
    assert one.evaluation.n_tokens == other.evaluation.n_tokens
    assert one.evaluation.loss_nats == pytest.approx(other.evaluation.loss_nats, abs=abs)
    assert one.table == other.table
    for name, averaged in one.measurements.items():
        values = other.measurements[name]["curve"]["values"]
        assert averaged["curve"]["values"] == pytest.approx(values, abs=abs)


CASES = {
    "adamw": ("averaging=ema", "batch.accumulate=2", "data.document_mask=true"),
    "muon": ("optim=muon", "averaging=lawa", "model.width=24"),
    "muon per head": ("optim=muon", "optim.build.per_head=true", "optim.build.nesterov=false"),
    "lion": ("optim=lion", "optim.lr=0.001"),
    "sgd": ("optim=sgd", "model.head.tied=true", "averaging=cma", "model.width=24"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_one_process(corpus: Path, tmp_path: Path, case: str) -> None:
    """To 1e-6 over 50 steps, since training losses, averages and Newton-Schulz are in float32."""
    own = ["optim.clip_norm=0.5", "trainer.log_every_n_steps=5", "trainer.precision=64-true"]
    overrides = fifty_steps(corpus, tmp_path, *own, *CASES[case])
    if any(override.startswith("averaging") for override in overrides):
        overrides.append("callbacks.averaging.every_tokens=1024")
    one = trained(tmp_path / "one", overrides)
    for strategy in STRATEGIES:
        two = on_two(strategy, trained, tmp_path / strategy, overrides)
        assert_same(two, one, abs=1e-6)
    states = [
        read(checkpoint_path(tmp_path / name)) for name in ("one", *STRATEGIES)
    ]  # whole, and in the layout of one process
    for state in states[1:]:
        assert list(state["state_dict"]) == list(states[0]["state_dict"])
        ours, theirs = (s["optimizer_states"][0] for s in (state, states[0]))
        assert ours["param_groups"] == theirs["param_groups"]
        shapes = [
            {
                (i, k): getattr(v, "shape", None)
                for i, own in s["state"].items()
                for k, v in own.items()
            }
            for s in (ours, theirs)
        ]
        assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "cut_cross_entropy"])
def test_losses_in_float32_are_those_of_one_process(
    corpus: Path, tmp_path: Path, loss: str
) -> None:
    """To 1e-5 over 50 steps."""
    overrides = fifty_steps(corpus, tmp_path, f"loss={loss}", "optim.lr=0.001")
    one = trained(tmp_path / "one", overrides)
    for strategy in STRATEGIES:
        assert_same(on_two(strategy, trained, tmp_path / strategy, overrides), one, abs=1e-5)


def ignoring(folder: Path, overrides: list[str]) -> Any:
    """As `trained`, on batches that leave out most targets of some rows and none of others."""
    make = batches.make_batch

    def ignore(*args: Any, **kwargs: Any) -> Any:
        batch = make(*args, **kwargs)
        batch.targets_BT[batch.tokens_BT % 5 > batch.tokens_BT[:, :1] % 5] = IGNORE_INDEX
        return batch

    batches.make_batch = ignore
    try:
        return trained(folder, overrides)
    finally:
        batches.make_batch = make


@pytest.mark.slow
def test_devices_that_score_unequally_many_targets_share_their_mean(
    corpus: Path, tmp_path: Path
) -> None:
    """To 1e-6 at a small rate: at the usual one AdamW makes 1e-5 of how float32 rounds a loss."""
    own = ["batch.sequences=2", "budget.tokens=3200", "trainer.precision=64-true", "optim.lr=0.001"]
    overrides = fifty_steps(corpus, tmp_path, *own)
    one = ignoring(tmp_path / "one", overrides)
    for strategy in STRATEGIES:
        two = on_two(strategy, ignoring, tmp_path / strategy, overrides)
        assert two.train_curve.values == pytest.approx(one.train_curve.values, abs=1e-6)


def interrupted(folder: Path, overrides: list[str]) -> None:
    """As `trained`, but it is stopped in a step, with a checkpoint of an earlier one."""
    inside = LanguageModelling.training_step

    def stop(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.trainer.global_step == STOPPED_IN:
            raise KeyboardInterrupt
        return inside(self, batch, batch_idx)

    LanguageModelling.training_step = stop
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(folder, overrides)
    finally:
        LanguageModelling.training_step = inside


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_job_goes_on_with_other_devices(
    corpus: Path, tmp_path: Path, strategy: str, optim: str
) -> None:
    """Saved on two and resumed on one, and back; with the optimiser's state and an average."""
    own = [f"optim={optim}", "averaging=ema", "trainer.checkpoint_seconds=0"]
    own += ["trainer.log_every_n_steps=5", "trainer.precision=64-true"]
    overrides = fifty_steps(corpus, tmp_path, *own)
    whole = trained(tmp_path / "whole", overrides)
    on_two(strategy, interrupted, tmp_path / "down", overrides)
    assert read(checkpoint_path(tmp_path / "down"))["global_step"] == 25
    assert_same(trained(tmp_path / "down", overrides), whole, abs=1e-6)
    interrupted(tmp_path / "up", overrides)
    assert_same(on_two(strategy, trained, tmp_path / "up", overrides), whole, abs=1e-6)


# ----------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["optim=adafactor"], r"optim must be one that is right on shards .* got Adafactor"),
        (["optim=eco"], r"got Quantised, which reads whole matrices: choose trainer=ddp"),
        (["trainer.compile=true"], r"trainer\.compile must be auto or false with trainer=fsdp"),
        (
            ["callbacks=[default,calibration]"],
            r"callbacks\.calibration reads weights, .*~callbacks\.calib",
        ),
        (["trainer.devices=3"], r"batch\.sequences: .*batch\.accumulate x devices = 1 x 3"),
    ],
)
def test_what_would_be_wrong_on_shards_is_refused(
    corpus: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    own = [each for each in settings(corpus, tmp_path) if each != "trainer.compile=false"]
    with pytest.raises(ValueError, match=said):
        prepare(compose(None, [*own, "trainer=fsdp", "trainer.devices=2", *more]))


def test_only_fsdp_refuses() -> None:
    parts = {"calibration": "windtunnel.callbacks.calibration.Calibration"}
    group = {"params": [torch.zeros(2, 2)], "lr": 1.0, "hidden": True}
    quantised = Quantised(
        [group], rule=Momentum(beta=0.9), error=Dropped(), grid=Integer(bits=8), stochastic=False,
        seed=1,
    )  # fmt: skip
    fsdp.refuse("ddp", True, quantised, parts)
    adamw = torch.optim.AdamW([torch.zeros(2)])
    fsdp.refuse(fsdp.TARGET, "auto", adamw, {"mine": "mine.callbacks.Mine"})
