"""Ends a run before its budget, whose schedule stays the one of the whole budget.

The job ends as finished, after an evaluation; another one can go on from the checkpoint that it
kept there (`keep_checkpoints`, `branch`).
"""

from __future__ import annotations

from typing import Any

import lightning as L

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step


class StopAt(L.Callback):
    """Stops after the last whole step within `tokens`; None trains to the end."""

    def __init__(self, facts: JobFacts, *, tokens: int | None) -> None:
        self.step = None if tokens is None else tokens // facts.tokens_per_step
        if self.step is not None and not 1 <= self.step <= facts.total_steps:
            raise ValueError(
                f"callbacks.stop.tokens must lie between one step, {facts.tokens_per_step} tokens, "
                f"and the budget of {facts.total_tokens}, got {tokens}: null trains to the end"
            )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Asks for the end, before which Lightning evaluates."""
        if ends_step(trainer, batch_idx) and trainer.global_step == self.step:
            trainer.should_stop = True
