"""When to save: every so many seconds, at the end, and when training is stopped from outside.

A checkpoint is only taken between two optimiser steps, after the evaluation that is due there, if
any; so a resumed run does what the uninterrupted one would have done. Ctrl-C, SIGTERM and SIGUSR1
therefore wait for the end of the step; the same once more stops at once and leaves the checkpoint
before it. Rows that a logger still holds are written first: a resumed run will not log them again.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from windtunnel.callbacks import generators
from windtunnel.callbacks.csv_logger import CsvLogger
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step, evaluation_follows
from windtunnel.faults import point
from windtunnel.stopping import CODES, Stopped

log = logging.getLogger(__name__)


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
        self._drawn: dict[str, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock and takes over the signals that stop a job."""
        self._saved_at, self._signal, self._place = time.monotonic(), None, "between steps"
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._on_signal) for n in CODES}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes that a step has begun; the first one after resuming draws as it would have."""
        self._place = "in a step"
        if self._drawn:
            generators.restore(self._drawn)
            self._drawn = {}

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
        follows = evaluation_follows(trainer)
        self._place = "in an evaluation" if follows else "between steps"
        point("step")
        if self._is_due(trainer) and not follows:
            self._save(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes that an evaluation has begun."""
        self._place = "in an evaluation"
        point("evaluation.start")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves when it is time, or when it was time before the evaluation."""
        point("evaluation.end")
        self._place = "between steps"
        training = trainer.state.fn == "fit" and not trainer.sanity_checking
        if training and self._is_due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the trained model."""
        self._release()
        self._write(trainer)

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
            self._write(trainer)
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

    def state_dict(self) -> dict[str, Any]:
        """Where the global random generators stand."""
        return {"drawn": self._drawn or generators.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Puts the generators back before the first step."""
        self._drawn = state_dict["drawn"]

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
        if self._place == "between steps" and trainer.training:
            log_now(trainer)
        self._write(trainer)
        self._saved_at = time.monotonic()
        if self._signal is not None:
            raise Stopped(self._signal)

    def _write(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CsvLogger):
                logger.write()
        trainer.save_checkpoint(self.path)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._signal == number:
            raise Stopped(number)
        if self._signal is None:
            self._signal = number
            log.warning("stopping after this step, with a checkpoint; once more stops at once")

    def _release(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def log_now(trainer: L.Trainer) -> None:
    """Gives the metrics of the step that has just ended to the CSV, which Lightning does later."""
    connector: Any = trainer._logger_connector
    if not connector.should_update_logs:
        return
    step = trainer.fit_loop.epoch_loop._batches_that_stepped
    metrics = {name: float(value) for name, value in connector.metrics["log"].items()}
    for logger in trainer.loggers:
        if isinstance(logger, CsvLogger):
            logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step)
