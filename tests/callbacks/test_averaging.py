from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from tests.callbacks.tiny import (
    QUIET,
    TOKENS_PER_STEP,
    TinyData,
    TinyModule,
    make_facts,
    make_trainer,
)
from windtunnel.callbacks.averaging import AveragedEvaluation, exchanged
from windtunnel.callbacks.record import RecordWriter
from windtunnel.checkpoint import checkpoint_path
from windtunnel.evaluation import DomainLoss
from windtunnel.optim.averaging import Ema, LastCheckpoints, uniform

pytestmark = QUIET


class Evaluated(TinyModule):
    """Evaluates with a metric, as the real module does; keeps what it held at each evaluation."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.metric = DomainLoss(["all"], {"all": 1.0}, 1.0)
        self.weights: list[list[Tensor]] = []

    def on_validation_epoch_start(self) -> None:
        return

    def nll(self, batch: Tensor) -> Tensor:
        return (self.model(batch) - 2 * batch) ** 2

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.interfere(batch_idx)
        targets = torch.zeros(batch.shape, dtype=torch.long)
        domains = torch.zeros(len(batch), dtype=torch.long)
        with torch.enable_grad():
            nll = self.nll(batch)
        self.metric.update(nll.detach(), targets, domains)

    def on_validation_epoch_end(self) -> None:
        self.evaluation = self.metric.evaluation()
        self.metric.reset()
        self.log("eval/loss", self.evaluation.loss_nats)
        self.weights.append([p.detach().clone() for p in self.parameters()])


class Kept(L.Callback):
    """The weights after every step, and what was logged."""

    def __init__(self) -> None:
        self.weights: list[list[Tensor]] = []
        self.logged: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.weights.append([p.detach().clone() for p in pl_module.parameters()])

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.logged = {k: float(v) for k, v in trainer.callback_metrics.items()}


def loss_with(weights: list[Tensor]) -> float:
    module = Evaluated()
    with exchanged(list(module.parameters()), weights), torch.no_grad():
        batches = torch.cat([torch.ones(4, 4), torch.zeros(4, 4)])
        return float(module.nll(batches).mean())


def lawa(folder: Path, *, every_steps: int = 2, **facts: Any) -> AveragedEvaluation:
    return AveragedEvaluation(
        make_facts(folder, **facts),
        every_tokens=every_steps * TOKENS_PER_STEP,
        average=LastCheckpoints(count=3, weighting=uniform),
    )


def test_the_average_is_evaluated_and_the_weights_are_put_back(tmp_path: Path) -> None:
    callback, kept, module = lawa(tmp_path), Kept(), Evaluated()
    writer = RecordWriter(make_facts(tmp_path), points=400, sync_steps=3, divergence_margin=0.5)
    trainer = make_trainer([callback, kept, writer], steps=20, enable_checkpointing=False)
    trainer.fit(module, TinyData())
    found = writer.finish().measurements["averaged"]
    expected = []
    for last in (10, 20):
        taken = [kept.weights[step - 1] for step in (last - 4, last - 2, last)]
        expected.append(loss_with([sum(ws) / 3 for ws in zip(*taken, strict=True)]))
    assert found["curve"]["tokens"] == [10 * TOKENS_PER_STEP, 20 * TOKENS_PER_STEP]
    assert found["curve"]["values"] == pytest.approx(expected, rel=1e-5)
    assert found["evaluation"]["loss_nats"] == found["curve"]["values"][-1]
    assert kept.logged["eval_averaged/loss"] == pytest.approx(expected[-1], rel=1e-5)
    assert kept.logged["eval_averaged/all/loss"] == kept.logged["eval_averaged/loss"]
    assert kept.logged["eval/loss"] == pytest.approx(loss_with(kept.weights[19]), rel=1e-5)
    for a, b in zip(module.weights[-1], kept.weights[19], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_are_taken_once_per_step(tmp_path: Path, accumulate: int) -> None:
    taken = []

    class Counting(Ema):
        def take(self, weights: Any) -> None:
            taken.append(None)
            super().take(weights)

    average = Counting(decay=0.9, warmup=True)
    callback = AveragedEvaluation(make_facts(tmp_path), every_tokens=1, average=average)
    trainer = make_trainer(
        [callback], steps=6, accumulate_grad_batches=accumulate, enable_checkpointing=False
    )
    trainer.fit(Evaluated(), TinyData(accumulate))
    assert len(taken) == 6


def test_nothing_is_evaluated_before_there_is_an_average(tmp_path: Path) -> None:
    callback = lawa(tmp_path, every_steps=15)
    make_trainer([callback], steps=20, enable_checkpointing=False).fit(Evaluated(), TinyData())
    assert callback.measurements["averaged"]["curve"]["tokens"] == [20 * TOKENS_PER_STEP]


def test_an_evaluation_that_breaks_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    callback, kept, module = lawa(tmp_path), Kept(), Evaluated()
    places = []

    def fail(module: Any, step: int, place: Any) -> None:
        places.append(place)
        if len(places) == 3:  # the two batches of the evaluation come first
            raise RuntimeError("in the middle")

    module.on_evaluation = fail
    trainer = make_trainer([callback, kept], steps=20, enable_checkpointing=False)
    metric = module.metric
    with pytest.raises(RuntimeError, match="in the middle"):
        trainer.fit(module, TinyData())
    assert module.metric is metric
    for a, b in zip(module.parameters(), kept.weights[9], strict=True):
        assert torch.equal(a, b)


def test_an_average_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    class Broken(LastCheckpoints):
        def weights(self) -> list[Tensor]:
            return [w * float("nan") for w in super().weights()]

    average = Broken(count=1, weighting=uniform)
    callback = AveragedEvaluation(make_facts(tmp_path), every_tokens=1, average=average)
    make_trainer([callback], steps=10, enable_checkpointing=False).fit(Evaluated(), TinyData())
    assert callback.measurements == {}


@pytest.mark.parametrize("kind", ["ema", "lawa"])
def test_a_resumed_job_has_the_average_of_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    def make() -> AveragedEvaluation:
        if kind == "lawa":
            return lawa(tmp_path)
        average = Ema(decay=0.9, warmup=True)
        return AveragedEvaluation(make_facts(tmp_path), every_tokens=1, average=average)

    whole = make()
    make_trainer([whole], steps=30, enable_checkpointing=False).fit(Evaluated(), TinyData())
    first = make()
    trainer = make_trainer([first], steps=13, enable_checkpointing=False)
    trainer.fit(Evaluated(), TinyData())
    trainer.save_checkpoint(checkpoint_path(tmp_path))
    second = make()
    make_trainer([second], steps=30, enable_checkpointing=False).fit(
        Evaluated(), TinyData(), ckpt_path=checkpoint_path(tmp_path), weights_only=True
    )
    assert second.measurements == whole.measurements
    assert len(second.measurements["averaged"]["curve"]["tokens"]) == 3


def test_nothing_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    torch._dynamo.reset()
    callback, module = lawa(tmp_path), Evaluated(compiled=True)
    data = TinyData()
    data.val_dataloader = lambda: torch.utils.data.DataLoader(  # of the shape of training
        [torch.ones(8, 4), torch.zeros(8, 4)], batch_size=None
    )
    make_trainer([callback], steps=20, enable_checkpointing=False).fit(module, data)
    assert len(callback.measurements["averaged"]["curve"]["tokens"]) == 2


def test_a_parameter_with_two_names_is_averaged_once(tmp_path: Path) -> None:
    class Tied(Evaluated):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.model

    callback = lawa(tmp_path)
    make_trainer([callback], steps=10, enable_checkpointing=False).fit(Tied(), TinyData())
    assert len(callback.average.weights()) == 2


def test_a_span_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"averaging\.every_tokens must be 1 or more, got 0"):
        lawa(tmp_path, every_steps=0)
