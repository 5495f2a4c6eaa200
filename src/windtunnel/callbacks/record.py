"""Collects what a training job did and writes it as its record.

The loss of every step is kept on its device and read every `sync_steps` steps, so that the
callback never waits for the device in between. A non-finite loss stops training at the next
reading; the record names the step where it came up. With several devices the loss is the mean
over them, as it is for the gradient.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import Any, Literal

import lightning as L
import torch

from windtunnel.callbacks.curve import Averager, stride_for
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.memory import peak_memory_bytes
from windtunnel.callbacks.steps import ends_step, is_logged
from windtunnel.callbacks.throughput import Throughput
from windtunnel.interfaces import Curve, Evaluation, Record
from windtunnel.redaction import hidden

log = logging.getLogger(__name__)
Outcome = Literal["finished", "diverged", "stopped"]
GRAD_NORM = "train/grad_norm"


class RecordWriter(L.Callback):
    """Gathers curves, evaluations and outcome; `finish` writes the record once training returned.

    points: most points of a training curve. sync_steps: optimiser steps between two readings of
    the loss. divergence_margin: nats by which the loss at the end may lie above the first loss.
    """

    def __init__(
        self, facts: JobFacts, *, points: int, sync_steps: int, divergence_margin: float
    ) -> None:
        self.facts, self.sync_steps, self.margin = facts, sync_steps, divergence_margin
        stride = stride_for(facts.total_steps, points)
        self.train = Averager(stride, facts.tokens_per_step)
        self.grad_norm = Averager(stride, facts.tokens_per_step)
        self.evaluations = Curve()
        self.evaluation: Evaluation | None = None
        self.first_loss: float | None = None
        self.diverged: tuple[int, str] | None = None
        self.step, self.seconds, self.peak_memory_bytes = 0, 0.0, 0
        self.measured: dict[str, Any] = {}
        self._pending: list[torch.Tensor] = []
        self._norms: list[tuple[int, torch.Tensor]] = []
        self._started: float | None = None
        self._trainer: Any = None

    # ------------------------------------------------------------------------ hooks of the trainer

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Starts the clock."""
        self._trainer, self._started = trainer, time.monotonic()
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(trainer.strategy.root_device)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keeps the loss of the step, and the norm of the gradient where it is logged, unread."""
        self._pending.append(outputs["loss"])
        if not ends_step(trainer, batch_idx):
            return
        self.step = trainer.global_step
        norm = trainer.callback_metrics.get(GRAD_NORM) if is_logged(trainer, batch_idx) else None
        if norm is not None:
            self._norms.append((self.step, norm))
        if self.step % self.sync_steps == 0:
            self._read(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds an evaluation to its curve."""
        evaluation: Evaluation | None = getattr(pl_module, "evaluation", None)
        if trainer.sanity_checking or evaluation is None:
            return
        self._read(trainer)
        if not math.isfinite(evaluation.loss_nats):
            self._diverge(trainer, self.step, "the held-out loss is not finite")
            return
        self.evaluation = evaluation
        tokens, values = self.evaluations.tokens, self.evaluations.values
        if tokens and tokens[-1] == self.step * self.facts.tokens_per_step:
            values[-1] = evaluation.loss_nats
        else:
            tokens.append(self.step * self.facts.tokens_per_step)
            values.append(evaluation.loss_nats)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads the steps that are left."""
        self._read(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leaves a record of a job that was stopped."""
        reason = f"{type(exception).__name__}: {exception}".removesuffix(": ")
        if trainer.world_size == 1:
            self._read(trainer)
        if not trainer.is_global_zero:
            return
        try:
            self._record("stopped", hidden(reason)).save(self.facts.folder)
        except ValueError as error:  # the error that stopped the job is the one to show
            log.warning("%s", error)

    def state_dict(self) -> dict[str, Any]:
        """Everything the record needs, in plain types."""
        if self._trainer is not None:
            self._read(self._trainer)
        return {
            "train": self.train.state(),
            "grad_norm": self.grad_norm.state(),
            "evaluations": dataclasses.asdict(self.evaluations),
            "evaluation": self.evaluation and dataclasses.asdict(self.evaluation),
            "first_loss": self.first_loss,
            "diverged": self.diverged,
            "step": self.step,
            "seconds": self._seconds(),
            "peak_memory_bytes": self._peak_memory(),
            "measured": self._measured(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from an earlier part of the same job."""
        self.train = Averager(**state_dict["train"])
        self.grad_norm = Averager(**state_dict["grad_norm"])
        self.evaluations = Curve(**state_dict["evaluations"])
        evaluation = state_dict["evaluation"]
        self.evaluation = None if evaluation is None else Evaluation(**evaluation)
        for name in ("first_loss", "diverged", "step", "seconds", "peak_memory_bytes", "measured"):
            setattr(self, name, state_dict[name])
        if self.diverged is not None and self._trainer is not None:
            self._trainer.should_stop = True

    # ---------------------------------------------------------------------------------- the record

    def finish(self) -> Record:
        """Writes the record of a job whose training has returned, and gives it back."""
        last = self.train.curve().values[-1:]
        if self.diverged is None and last and self.first_loss is not None:
            above = last[0] - self.first_loss
            if above > self.margin:
                reason = f"the loss ended {above:.3g} nats above the first one"
                self.diverged = (self.step, reason)
        record = self._record("diverged" if self.diverged else "finished", "")
        if self._trainer is None or self._trainer.is_global_zero:
            record.save(self.facts.folder)
        return record

    def _read(self, trainer: L.Trainer) -> None:
        n_each = trainer.accumulate_grad_batches
        n_steps = len(self._pending) // n_each
        if n_steps == 0 or self.diverged is not None:
            return
        losses = torch.stack(self._pending[: n_steps * n_each]).view(n_steps, n_each).sum(1)
        del self._pending[: n_steps * n_each]
        if trainer.world_size > 1:
            losses = trainer.strategy.reduce(losses, reduce_op="mean")
        for step, norm in self._norms:
            if torch.isfinite(norm):
                self.grad_norm.add(step, float(norm))
        self._norms = []
        for step, loss in enumerate(losses.tolist(), self.step - n_steps + 1):
            if not math.isfinite(loss):
                self._diverge(trainer, step, "the training loss is not finite")
                return
            self.first_loss = loss if self.first_loss is None else self.first_loss
            self.train.add(step, loss)

    def _diverge(self, trainer: L.Trainer, step: int, reason: str) -> None:
        if self.diverged is None:
            self.diverged = (step, f"{reason} at step {step}")
        trainer.should_stop = True

    def _seconds(self) -> float:
        now = time.monotonic()
        return self.seconds + (0.0 if self._started is None else now - self._started)

    def _peak_memory(self) -> int:
        trainer = self._trainer
        if trainer is None:
            return self.peak_memory_bytes
        return max(self.peak_memory_bytes, peak_memory_bytes(trainer.strategy.root_device))

    def _measured(self) -> dict[str, Any]:
        """What callbacks measured, those included that did so before the job went on."""
        found = dict(self.measured)
        for callback in [] if self._trainer is None else self._trainer.callbacks:
            found |= getattr(callback, "measurements", {})
        return found

    def _record(self, outcome: Outcome, reason: str) -> Record:
        facts = self.facts
        step = self.step
        if outcome == "diverged" and self.diverged is not None:
            step, reason = self.diverged
        tokens = step * facts.tokens_per_step
        warnings = list(facts.warnings)
        callbacks: list[Any] = [] if self._trainer is None else self._trainer.callbacks
        timed = next((c for c in callbacks if isinstance(c, Throughput)), None)
        for callback in callbacks:
            warnings += getattr(callback, "warnings", [])
        speed = None if timed is None else timed.tokens_per_second
        seconds = self._seconds()
        return Record(
            job=facts.job,
            name=facts.name,
            task=facts.task,
            role=facts.role,
            outcome=outcome,
            outcome_step=step,
            outcome_reason=reason,
            seed=facts.seed,
            config=facts.config,
            parameters=facts.parameters,
            train_flops=facts.flops(tokens),
            tokens=tokens,
            steps=step,
            evaluation=self.evaluation,
            train_curve=self.train.curve(),
            eval_curve=self.evaluations,
            grad_norm_curve=self.grad_norm.curve(),
            seconds=seconds,
            tokens_per_second=tokens / max(seconds, 1e-9) if speed is None else speed,
            mfu=None if timed is None else timed.mfu,
            peak_memory_bytes=self._peak_memory(),
            choices=facts.choices,
            data=facts.data,
            table=facts.table,
            measurements=self._measured(),
            inputs=facts.inputs,
            versions=facts.versions,
            git=facts.git,
            warnings=warnings,
        )
