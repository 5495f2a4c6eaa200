"""When to save: every so many seconds, at the end, and when training is stopped from outside.

A checkpoint is only taken between two optimiser steps, after the evaluation that is due there, if
any; so a resumed run does what the uninterrupted one would have done. Ctrl-C and SIGTERM therefore
wait for the end of the step; a second one stops at once and leaves the checkpoint before it.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PeriodicCheckpoint(Checkpoint):
    """Keeps the job's checkpoint about `seconds` old at most.

    sync_steps: with several devices, how many steps lie between two common decisions to save.
    """

    def __init__(self, facts: JobFacts, *, seconds: float, sync_steps: int) -> None:
        self.path, self.seconds, self.sync_steps = facts.checkpoint, seconds, sync_steps
        self._saved_at = 0.0
        self._signal: int | None = None
        self._place: Literal["between steps", "in a step", "in an evaluation"] = "between steps"
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock and takes over the signals that stop a job."""
        self._saved_at, self._signal, self._place = time.monotonic(), None, "between steps"
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._on_signal) for n in SIGNALS}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes that a step has begun."""
        self._place = "in a step"

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Saves when it is time, unless an evaluation comes first."""
        if not ends_step(trainer, batch_idx):
            return
        self._place = "between steps"
        if self._is_due(trainer) and not _evaluation_follows(trainer):
            self._save(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes that an evaluation has begun."""
        self._place = "in an evaluation"

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves when it is time, or when it was time before the evaluation."""
        self._place = "between steps"
        training = trainer.state.fn == "fit" and not trainer.sanity_checking
        if training and self._is_due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the trained model."""
        self._release()
        trainer.save_checkpoint(self.path)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Saves what can be gone on from; an evaluation cut short will start again.

        Half a step cannot, nor can the last evaluation: Lightning's loop would take it for done.
        """
        self._release()
        last = self._place == "in an evaluation" and trainer.global_step >= trainer.max_steps
        if self._place == "in a step" or last or self._signal or trainer.global_step == 0:
            return
        if trainer.world_size > 1:  # saving would wait for devices that have not stopped
            return
        try:
            trainer.save_checkpoint(self.path)
        except ValueError as error:  # the error that stopped the job is the one to show
            if str(error) != str(exception):
                log.warning("%s", error)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Marks an evaluation under way as begun and not done, so that resuming repeats it."""
        if self._place == "in an evaluation":
            begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            progress.update(total=dict(begun), current=dict(begun), is_last_batch=False)

    def _is_due(self, trainer: L.Trainer) -> bool:
        asked = self._signal is not None
        due = asked or time.monotonic() - self._saved_at >= self.seconds
        if trainer.world_size == 1:
            return due
        if trainer.global_step % self.sync_steps:
            return False
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            self._signal = self._signal or signal.SIGTERM
        return trainer.strategy.reduce_boolean_decision(due, all=False)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        if self._signal is not None:
            raise KeyboardInterrupt if self._signal == signal.SIGINT else SIGTERMException

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SIGTERMException
        self._signal = number
        log.warning("stopping after this step, with a checkpoint; once more stops at once")

    def _release(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _evaluation_follows(trainer: L.Trainer) -> bool:
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
