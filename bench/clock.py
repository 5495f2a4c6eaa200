"""A callback that times the steps of a job from outside: it knows nothing of how the job does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch


class Clock(L.Callback):
    """Writes `clock.json`: steps, and the seconds they took, after the warm-up steps.

    facts: what is known of the job. warmup_steps: steps that are not timed.
    """

    def __init__(self, facts: Any, *, warmup_steps: int) -> None:
        self.warmup_steps, self.file = warmup_steps, Path(facts.folder) / "clock.json"
        self.begin = 0.0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step, last = trainer.global_step, trainer.max_steps
        if step not in (self.warmup_steps, last):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if step == self.warmup_steps:
            self.begin = time.perf_counter()
        else:
            timed = {"steps": last - self.warmup_steps, "seconds": time.perf_counter() - self.begin}
            self.file.write_text(json.dumps(timed))
