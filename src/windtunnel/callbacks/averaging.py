"""Evaluates an average of the weights beside the weights themselves, in the same run.

After every evaluation the average takes the place of the weights, in place so that nothing is
compiled again; the held-out batches are gone through once more, and the weights are put back. A
parameter with two names is averaged once. Buffers are left as they are.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import lightning as L
import torch
from torch import Tensor

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step
from windtunnel.faults import point
from windtunnel.interfaces import Evaluation
from windtunnel.shards import placed


class Average(Protocol):
    """What `optim.averaging` has: it takes weights, and gives their average."""

    def take(self, weights: Sequence[Tensor]) -> None: ...
    def weights(self) -> list[Tensor]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class AveragedEvaluation(L.Callback):
    """Takes the weights every `every_tokens` tokens, in whole steps; logs `eval_averaged/...`.

    Leaves `averaged: {evaluation, curve}` in the record's measurements, the last evaluation and all
    losses against tokens.
    """

    def __init__(self, facts: JobFacts, *, every_tokens: int, average: Average) -> None:
        if every_tokens < 1:
            raise ValueError(
                f"averaging.every_tokens must be 1 or more, got {every_tokens}: 1 takes the "
                "weights of every step"
            )
        self.tokens_per_step, self.average = facts.tokens_per_step, average
        self.every_steps = max(1, round(every_tokens / facts.tokens_per_step))
        self.measurements: dict[str, Any] = {}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Takes the weights when it is time."""
        if ends_step(trainer, batch_idx) and trainer.global_step % self.every_steps == 0:
            self.average.take(weights_of(pl_module))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluates the average, once there is one."""
        averaged = self.average.weights()
        if trainer.sanity_checking or not averaged:
            return
        with exchanged(weights_of(pl_module), averaged):
            evaluation = evaluate(trainer, pl_module)
        pl_module.log("eval_averaged/loss", evaluation.loss_nats)
        pl_module.log("eval_averaged/bits_per_byte", evaluation.bits_per_byte)
        for name, domain in evaluation.domains.items():
            pl_module.log(f"eval_averaged/{name}/loss", domain["loss_nats"])
        if math.isfinite(evaluation.loss_nats):
            self._keep(trainer.global_step * self.tokens_per_step, evaluation)

    def _keep(self, tokens: int, evaluation: Evaluation) -> None:
        before = self.measurements.get("averaged", {"curve": {"tokens": [], "values": []}})
        points = dict(zip(*before["curve"].values(), strict=True)) | {tokens: evaluation.loss_nats}
        curve = {"tokens": list(points), "values": list(points.values())}
        self.measurements["averaged"] = {
            "evaluation": dataclasses.asdict(evaluation),
            "curve": curve,
        }

    def state_dict(self) -> dict[str, Any]:
        """The average and what was measured so far."""
        return {"average": self.average.state(), "measurements": self.measurements}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        self.average.restore(state_dict["average"])
        self.measurements = state_dict["measurements"]


def weights_of(pl_module: L.LightningModule) -> list[Tensor]:
    """Every parameter once."""
    return list(pl_module.parameters())


@contextmanager
def exchanged(weights: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Puts other values into the weights, and the weights' own back at the end, come what may."""
    own = [w.detach().clone() for w in weights]
    try:
        fill(weights, others)
        point("averaging.exchanged")
        yield
    finally:
        fill(weights, own)
        point("averaging.restored")


@torch.no_grad()
def fill(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copies values into weights that stay the tensors they are."""
    for w, value in zip(weights, values, strict=True):
        w.copy_(placed(value, w))


def evaluate(trainer: L.Trainer, pl_module: Any) -> Evaluation:
    """What the module's own validation finds, in a metric of its own."""
    metric = pl_module.metric
    pl_module.metric = copy.deepcopy(metric)
    pl_module.metric.reset()
    try:
        loader: Any = trainer.val_dataloaders
        for index, batch in enumerate(loader):
            batch = trainer.strategy.batch_to_device(batch)
            trainer.strategy.validation_step(batch, index)
        return pl_module.metric.evaluation()
    finally:
        pl_module.metric = metric
