"""FSDP2: parameters, gradients and the optimiser's state, each cut over all devices.

Lightning's strategy, but for its checkpoints: ours hold whole tensors under the names and numbers
that a single process gives them, so a job goes on with any number of devices and any strategy. The
first device writes them.

Source: lightning 2.6.6, lightning/pytorch/strategies/model_parallel.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.optim import Optimizer

from windtunnel import shards

# What else a job may hold reads weights or activations as if they were whole.
CALLBACKS = (
    "averaging", "checkpoint", "keep", "progress", "record", "scaling_log", "throughput",
    "wandb_axes",
)  # fmt: skip


class FullyShardedStrategy(ModelParallelStrategy):
    """Shards over all devices; the module's `configure_model` says where the cuts are."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The shards; `save_checkpoint` makes them whole."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The shards; `save_checkpoint` makes them whole."""
        own = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return own.state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Gathers every tensor on the first device, which writes."""
        values = shards.gathered(checkpoint, keep=self.is_global_zero)
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(values, filepath, storage_options=storage_options)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Every device reads the file."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Every device takes its part."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        placed = {
            name: shards.placed(value, own[name]) if name in own else value
            for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(placed, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Every device takes its part of what has the shape of its parameter."""
        states = checkpoint["optimizer_states"]
        for optimizer, state in zip(self.optimizers, states, strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            placed = {
                number: {
                    key: shards.placed(value, parameters[number])
                    if getattr(value, "shape", None) == parameters[number].shape
                    else value
                    for key, value in values.items()
                }
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": placed})


TARGET = f"{__name__}.{FullyShardedStrategy.__name__}"


def refuse(strategy: str, compiled: Any, optimizer: Any, callbacks: Mapping[str, str]) -> None:
    """Refuses what would be wrong on shards.

    Args:
        strategy: the `_target_` of the strategy.
        compiled: the setting `trainer.compile`.
        optimizer: the optimiser, built.
        callbacks: the `_target_` of every callback, by its name.

    Raises:
        ValueError: naming the part.
    """
    if strategy != TARGET:
        return
    if compiled is True:
        raise ValueError(
            "trainer.compile must be auto or false with trainer=fsdp, got true: torch.compile "
            "breaks where shards are gathered; or choose trainer=ddp"
        )
    if not shards.takes_shards(optimizer):
        raise ValueError(
            "optim must be one that is right on shards with trainer=fsdp (adamw, muon, lion, sgd), "
            f"got {type(optimizer).__name__}, which reads whole matrices: choose trainer=ddp"
        )
    for name, target in callbacks.items():
        room, _, place = target.partition(".callbacks.")
        if room == "windtunnel" and place.partition(".")[0] not in CALLBACKS:
            raise ValueError(
                f"callbacks.{name} reads weights, gradients or activations as if they were whole, "
                f"which trainer=fsdp cuts: leave it out (~callbacks.{name}), or choose trainer=ddp"
            )
