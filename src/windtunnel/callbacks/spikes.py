"""Sees a step whose loss or gradient stands out, and acts before the weights move.

A spike is a loss or a gradient norm more than `threshold` standard deviations above its mean over
the last `window` steps that were none, or one that is not finite. The answer is a part:

- `Skip`: the batch is left out;
- `RollBack`: the batch is left out, and weights and optimiser go back to where they stood
  `every` to 2 `every` steps before. Two copies are kept, since the newest may be damaged already.

Steps, schedule and data go on either way, so that a job sees the tokens it was to see. After
`patience` spikes in a row what was one is taken for usual, and the window begins again: a model
that a bad step has changed for good would else never move again.

Source: window and threshold: OLMo-core, `SkipStepOptimizer` (128 steps, 6 deviations, on either
side; here above alone), in use since OLMo 2, arXiv 2501.00656; going back about 100 steps and
leaving batches out: Chowdhery et al. 2022, arXiv 2204.02311, section 5.1. `patience` is ours.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Sequence
from typing import Any, Protocol

import lightning as L
import torch
from torch import nn
from torch.optim import Optimizer

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import is_logged
from windtunnel.faults import point

LEAST = 20  # values before any stands out, or half a window; as in OLMo-core
MOST_STEPS = 100  # that the record names


class Outliers:
    """Tells spikes from what was usual in the last `window` steps."""

    def __init__(self, *, window: int, threshold: float, patience: int) -> None:
        if window < 2 or patience < 1 or not threshold > 0:
            raise ValueError(
                "callbacks.spikes.outliers: expected window >= 2, threshold > 0 and patience >= 1, "
                f"got {window}, {threshold} and {patience}: 128, 6 and 20 are usual"
            )
        self.window, self.threshold, self.patience = window, threshold, patience
        self.usual: list[list[float]] = []
        self.n_in_a_row = 0

    def is_spike(self, *values: float) -> bool:
        """Whether one of the values of a step stands out; remembers them if none does."""
        spike = not all(map(math.isfinite, values)) or self._stands_out(values)
        self.n_in_a_row = self.n_in_a_row + 1 if spike else 0
        if self.n_in_a_row > self.patience and all(map(math.isfinite, values)):
            self.usual, self.n_in_a_row, spike = [], 0, False
        if not spike:
            self.usual = [*self.usual, list(values)][-self.window :]
        return spike

    def _stands_out(self, values: Sequence[float]) -> bool:
        if len(self.usual) < max(2, min(LEAST, self.window // 2)):
            return False
        return any(
            value - statistics.fmean(own) > self.threshold * statistics.stdev(own)
            for value, own in zip(values, zip(*self.usual, strict=True), strict=True)
        )

    def state(self) -> dict[str, Any]:
        return {"usual": self.usual, "n_in_a_row": self.n_in_a_row}

    def restore(self, state: dict[str, Any]) -> None:
        self.usual, self.n_in_a_row = state["usual"], state["n_in_a_row"]


class Answer(Protocol):
    """What happens at a spike, besides that its batch is left out."""

    name: str

    def calm(self, step: int, model: nn.Module, optimizer: Optimizer) -> None: ...
    def spike(self, model: nn.Module, optimizer: Optimizer) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class Skip:
    """Nothing else."""

    name = "skip"

    def calm(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        """Keeps nothing."""

    def spike(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Changes nothing."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Has nothing to go on from."""


class RollBack:
    """Puts back the older of two copies of weights and optimiser, taken `every` steps."""

    name = "roll_back"

    def __init__(self, *, every: int) -> None:
        if every < 1:
            raise ValueError(
                f"callbacks.spikes.answer.every must be 1 or more, got {every}: it is how many "
                "steps lie between two copies, such as 50"
            )
        self.every = every
        self.copies: list[dict[str, Any]] = []  # the older one first

    def calm(self, step: int, model: nn.Module, optimizer: Optimizer) -> None:
        if step % self.every == 0 or not self.copies:
            taken = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            self.copies = [*self.copies, copy.deepcopy(taken)][-2:]

    def spike(self, model: nn.Module, optimizer: Optimizer) -> None:
        if self.copies:
            point("rollback.before")
            self.copies = self.copies[:1]
            good = copy.deepcopy(self.copies[0])
            model.load_state_dict(good["model"])
            optimizer.load_state_dict(good["optimizer"])
            point("rollback.after")

    def state(self) -> dict[str, Any]:
        return {"copies": self.copies}

    def restore(self, state: dict[str, Any]) -> None:
        self.copies = state["copies"]


class Spikes(L.Callback):
    """Watches every step; logs `stability/spikes`, how many there were.

    Leaves `spikes: {answer, n, steps}` in the record's measurements. Reads loss and gradient norm
    at every step, for which the processor waits for the device.
    """

    def __init__(self, facts: JobFacts, *, outliers: Outliers, answer: Answer) -> None:
        self.outliers, self.answer = outliers, answer
        self.n, self.steps = 0, []
        self._loss = 0.0

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor
    ) -> None:
        """Adds up the loss of a step."""
        self._loss += loss.detach()

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Lets a step that is none of the spikes pass."""
        loss, self._loss = torch.as_tensor(self._loss), 0.0
        if trainer.world_size > 1:
            loss = trainer.strategy.reduce(loss, reduce_op="mean")
        grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        if not self.outliers.is_spike(float(loss), float(norm)):
            self.answer.calm(trainer.global_step, pl_module, optimizer)
            return
        self.n += 1
        self.steps = [*self.steps, trainer.global_step + 1][:MOST_STEPS]
        self.answer.spike(pl_module, optimizer)
        for p in pl_module.parameters():
            p.grad = None  # so that the optimiser passes it over

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs how many there were, on logging steps."""
        if is_logged(trainer, batch_idx):
            pl_module.log("stability/spikes", float(self.n))

    @property
    def measurements(self) -> dict[str, Any]:
        """What goes into the record."""
        return {"spikes": {"answer": self.answer.name, "n": self.n, "steps": self.steps}}

    def state_dict(self) -> dict[str, Any]:
        """What is usual, what was counted, and what the answer keeps."""
        return {"n": self.n, "steps": self.steps, "outliers": self.outliers.state(),
                "answer": self.answer.state()}  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        self.n, self.steps = state_dict["n"], state_dict["steps"]
        self.outliers.restore(state_dict["outliers"])
        self.answer.restore(state_dict["answer"])
