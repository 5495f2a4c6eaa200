"""Gives the optimiser the learning rates of this job's schedule, when it goes on from another's.

A checkpoint holds the rates of the step to come as its own job's schedule had them; this job's
schedule may part from that one at just this step.
"""

from __future__ import annotations

from typing import Any

import lightning as L


class OwnRates(L.Callback):
    """Sets the rates of the next step before training starts."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks the schedule, as every step does at its end."""
        for config in trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            pairs = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
            rates = [base * at(scheduler.last_epoch) for base, at in pairs]
            for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            scheduler._last_lr = rates
