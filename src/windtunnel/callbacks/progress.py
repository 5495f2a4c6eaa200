"""Tells others how far a job is: `progress.json` in its folder, and a line in the terminal.

Both are written at most once a second, and when the stage changes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import lightning as L

from windtunnel.callbacks.facts import JobFacts
from windtunnel.files import write_whole

Stage = Literal["compile", "train", "evaluate", "score"]
SECONDS = 1.0


def write_progress(folder: Path, stage: Stage, tokens: int, total_tokens: int) -> None:
    """Writes `progress.json`, whole or not at all."""
    values = {"tokens": tokens, "total_tokens": total_tokens, "stage": stage}
    write_whole(folder / "progress.json", json.dumps(values), lasting=False)


class Progress(L.Callback):
    """Keeps `progress.json` up to date; with `show`, in a terminal, a line as well."""

    def __init__(self, facts: JobFacts, *, show: bool | Literal["auto"]) -> None:
        self.facts, self.show = facts, bool(show) and sys.stderr.isatty()
        self._written_at = self._started_at = 0.0
        self._first_step = 0
        self._width = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that the first step, which compiles the model, begins."""
        self._started_at, self._first_step = time.monotonic(), trainer.global_step
        self._write(trainer, "compile")

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Says how far training is, at most once a second."""
        if time.monotonic() - self._written_at >= SECONDS:
            self._write(trainer, "train")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that an evaluation begins."""
        self._write(trainer, "evaluate")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that training is done."""
        self._write(trainer, "train")
        self._end_line()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leaves the terminal at the start of a line."""
        self._end_line()

    def _write(self, trainer: L.Trainer, stage: Stage) -> None:
        self._written_at = time.monotonic()
        if not trainer.is_global_zero:
            return
        tokens = trainer.global_step * self.facts.tokens_per_step
        write_progress(self.facts.folder, stage, tokens, self.facts.total_tokens)
        if self.show:
            seconds = self._written_at - self._started_at
            done = tokens - self._first_step * self.facts.tokens_per_step
            loss = trainer.callback_metrics.get("train/loss")
            text = line(stage, tokens, self.facts.total_tokens, done / max(seconds, 1e-9), loss)
            sys.stderr.write("\r" + text.ljust(self._width))
            sys.stderr.flush()
            self._width = len(text)

    def _end_line(self) -> None:
        if self._width:
            sys.stderr.write("\n")
            self._width = 0


def line(stage: Stage, tokens: int, total_tokens: int, speed: float, loss: Any) -> str:
    """One line on how far a job is; `speed` in tokens per second, `loss` None where unknown."""
    parts = [f"{stage}: {tokens / total_tokens:.0%} of {total_tokens:,} tokens"]
    if loss is not None:
        parts.append(f"loss {float(loss):.3f}")
    if speed > 0:
        left = max(total_tokens - tokens, 0) / speed
        parts.append(f"{speed:,.0f} tokens/s, {left:.0f} s left")
    return ", ".join(parts)
