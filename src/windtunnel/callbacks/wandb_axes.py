"""Draws W&B panels against training tokens (training) and FLOPs (evaluations), not against steps.

Every metric is given its axis by name, once it is first seen: among patterns that match, such as
the `*` that Lightning's logger defines, W&B picks one at random. Each row holds both axes, so that
a panel may choose the other one.
"""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.loggers import WandbLogger

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.scaling_log import FLOPS, TOKENS
from windtunnel.callbacks.steps import is_logged


class WandbAxes(L.Callback):
    """Names the step axis of every metric; does nothing without a W&B logger.

    flops: counting convention of the FLOPs axis.
    """

    def __init__(self, facts: JobFacts, *, flops: str) -> None:
        if flops not in facts.flops_per_token:
            known = ", ".join(facts.flops_per_token)
            raise ValueError(
                f"callbacks.wandb_axes.flops: expected one of {known}, got {flops!r}: set it to a "
                "counting convention of model/count.py"
            )
        compute = f"{FLOPS}/{flops}"
        self.axes = {"train/": TOKENS, "throughput/": TOKENS, "eval/": compute,
                     "eval_averaged/": compute}  # fmt: skip
        self._runs: list[Any] = []
        self._defined: set[str] = set()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Defines the axes themselves on the run of every W&B logger."""
        if not trainer.is_global_zero:
            return
        self._runs = [x.experiment for x in trainer.loggers if isinstance(x, WandbLogger)]
        for run in self._runs:
            for axis in dict.fromkeys(self.axes.values()):
                run.define_metric(axis)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Gives metrics of training their axis."""
        if self._runs and is_logged(trainer, batch_idx):
            self._define(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gives metrics of the evaluation their axis."""
        if self._runs:
            self._define(trainer)

    def _define(self, trainer: L.Trainer) -> None:
        for name in trainer.callback_metrics:
            axis = next((a for prefix, a in self.axes.items() if name.startswith(prefix)), None)
            if axis is not None and name not in self._defined:
                self._defined.add(name)
                for run in self._runs:
                    run.define_metric(name, step_metric=axis, step_sync=True)
