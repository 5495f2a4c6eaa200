"""Bytes that a training run must keep from step to step: its weights and its optimiser's state.

Counted off the tensors themselves, on one device, so that neither Python nor the batch is in it.
An optimiser whose weights are stored more coarsely than they are computed with says so by `memory`
(see `optim.eco`): of its hidden matrices the stored bytes count.
"""

from __future__ import annotations

from typing import Any

import lightning as L
from torch import Tensor
from torch.optim import Optimizer

from windtunnel.callbacks.facts import JobFacts


class StateMemory(L.Callback):
    """Leaves `memory: {weights, optimizer, total}` in bytes in the record's measurements."""

    def __init__(self, facts: JobFacts) -> None:
        self.measurements: dict[str, Any] = {}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Counts, once every parameter has its state."""
        self.measurements["memory"] = kept_bytes(trainer.optimizers[0])


def kept_bytes(optimizer: Optimizer) -> dict[str, int]:
    """Bytes of the parameters of an optimiser, of its state, and of both."""
    weights = sum(size(p) for group in optimizer.param_groups for p in group["params"])
    values = [value for state in optimizer.state.values() for value in state.values()]
    state = sum(size(value) for value in values if isinstance(value, Tensor))
    stored: Any = getattr(optimizer, "memory", None)
    if stored is not None:
        told = stored()
        computed_with = told["saved"] + told["kept"]  # a copy of the hidden matrices in full
        weights += told["weights"] - computed_with
    return {"weights": weights, "optimizer": state, "total": weights + state}


def size(tensor: Tensor) -> int:
    """Bytes of a tensor's values."""
    return tensor.numel() * tensor.element_size()
