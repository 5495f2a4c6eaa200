"""Keeps checkpoints of chosen moments, from which other jobs can go on (see `branch`).

A checkpoint is taken at the end of the last whole step within so many tokens, after the evaluation
that is due there, if any, and stands in the job's folder until somebody removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step, evaluation_follows
from windtunnel.checkpoint import kept_path


class KeepCheckpoints(Checkpoint):
    """Saves at each of `tokens` as `checkpoints/tokens-N.ckpt`, N the tokens of the whole steps."""

    def __init__(self, facts: JobFacts, *, tokens: Sequence[int]) -> None:
        self.paths = {}
        for wanted in tokens:
            step = wanted // facts.tokens_per_step
            if not 1 <= step <= facts.total_steps:
                raise ValueError(
                    f"callbacks.keep.tokens must lie between one step, {facts.tokens_per_step} "
                    f"tokens, and the budget of {facts.total_tokens}, got {wanted}: leave it out, "
                    "or raise budget.tokens"
                )
            self.paths[step] = kept_path(facts.folder, step * facts.tokens_per_step)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Makes up for a job that was stopped between the step and this callback."""
        self._keep(trainer)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Saves after a step, unless an evaluation comes first."""
        if ends_step(trainer, batch_idx) and not evaluation_follows(trainer):
            self._keep(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after the evaluation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._keep(trainer)

    def _keep(self, trainer: L.Trainer) -> None:
        path = self.paths.get(trainer.global_step)
        if path is None:
            return
        # All devices gather what one of them writes, so all must agree that it is to be written.
        is_there = trainer.strategy.broadcast(path.is_file())
        if not is_there:
            trainer.save_checkpoint(path)
