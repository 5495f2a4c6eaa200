"""Gives every row of the loggers its place on the axes of a scaling law: N, D and C.

`scale/D` training tokens so far; `scale/C/<convention>` FLOPs so far, FLOPs per token times D;
`scale/N/<convention>` parameters. Conventions: `model/count.py`.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import is_logged
from windtunnel.checkpoint import generations

TOKENS = "scale/D"
FLOPS = "scale/C"
PARAMETERS = "scale/N"


class ScalingLog(L.Callback):
    """Logs N once, D and C beside the losses of every logging step and every evaluation."""

    def __init__(self, facts: JobFacts) -> None:
        self.facts = facts

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the number of parameters by every convention, once in a job."""
        if generations(self.facts.folder):
            return
        counts = {f"{PARAMETERS}/{name}": float(n) for name, n in self.facts.parameters.items()}
        for logger in trainer.loggers:
            logger.log_metrics(counts, trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Places the training losses, on logging steps."""
        if is_logged(trainer, batch_idx):
            self._log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Places the losses of an evaluation."""
        self._log(trainer, pl_module)

    def _log(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        tokens = trainer.global_step * self.facts.tokens_per_step
        flops = self.facts.flops(tokens)
        axes = {TOKENS: float(tokens), **{f"{FLOPS}/{name}": c for name, c in flops.items()}}
        # A double on the CPU: a float32 would round counts above 2^24.
        for name, value in axes.items():
            pl_module.log(name, torch.tensor(value, dtype=torch.float64), rank_zero_only=True)
