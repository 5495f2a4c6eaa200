"""Leaves in the record what the tokenizer makes of the held-out text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L

from windtunnel.callbacks.facts import JobFacts


class TokenizerMetrics(L.Callback):
    """Leaves `tokenizer` in the record's measurements: what `measure` finds in the token store."""

    def __init__(self, facts: JobFacts, *, measure: Callable[[Any], dict[str, Any]]) -> None:
        self.measure = measure
        self.measurements: dict[str, Any] = {}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures, once training is over."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.measurements["tokenizer"] = self.measure(data.store)
