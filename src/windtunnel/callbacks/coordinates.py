"""Coordinate check: how large activations are, per layer, at chosen steps.

At step t, after t updates and before the next: mean |x| over batch, time and width of the embedding
output, of every block's output and of the logits. Under muP it does not grow with width.
Source: Yang et al. 2022, arXiv 2203.03466, appendix D.1.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step


class Coordinates(L.Callback):
    """Measures activations by forward hooks, so the model must not be compiled.

    Leaves `coordinates: {step: {layer: mean |x|}}` in the record's measurements. Reads the model
    from `pl_module.objective.model`, which has `blocks` and `head`.
    """

    def __init__(self, facts: JobFacts, *, steps: Sequence[int]) -> None:
        if facts.choices.get("compile"):
            raise ValueError(
                "callbacks.coordinates: expected an eager model, got a compiled one, where hooks "
                "do not run: set trainer.compile=false"
            )
        self.steps = frozenset(steps)
        self.measurements: dict[str, dict[str, dict[str, float]]] = {"coordinates": {}}
        self._seen: dict[str, Tensor] = {}
        self._hooks: list[Any] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Attaches the hooks at the first batch of a step that is to be measured."""
        step = trainer.global_step
        if step in self.steps and str(step) not in self.measurements["coordinates"]:
            objective: Any = pl_module.objective
            self._hooks = attach(objective.model, self._seen)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Takes the hooks off and keeps what they saw."""
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        step = trainer.global_step - ends_step(trainer, batch_idx)
        sizes = {layer: float(size) for layer, size in self._seen.items()}
        self.measurements["coordinates"][str(step)] = sizes

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far."""
        return {"measurements": self.measurements}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what was measured before."""
        self.measurements = state_dict["measurements"]


def attach(model: nn.Module, seen: dict[str, Tensor]) -> list[Any]:
    """Hooks that write mean |x| of every layer of the next forward pass into `seen`."""
    blocks: Any = model.blocks
    head: Any = model.head

    def embedding(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["embedding"] = mean_abs(inputs[0])

    def logits(module: nn.Module, inputs: Any, hidden_BTD: Tensor) -> None:
        with torch.no_grad():
            seen["logits"] = mean_abs(head(hidden_BTD))

    def block(layer: str) -> Any:
        def write(module: nn.Module, inputs: Any, x_BTD: Tensor) -> None:
            seen[layer] = mean_abs(x_BTD)

        return write

    hooks = [blocks[0].register_forward_pre_hook(embedding), model.register_forward_hook(logits)]
    hooks += [b.register_forward_hook(block(f"blocks.{i}")) for i, b in enumerate(blocks)]
    return hooks


def mean_abs(x: Tensor) -> Tensor:
    """Mean of |x| over all entries, in float32 []."""
    return x.detach().float().abs().mean()
