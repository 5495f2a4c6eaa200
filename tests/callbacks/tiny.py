"""A model of one matrix that trains like a real one: the same names, the same hooks, in no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from windtunnel.callbacks.facts import JobFacts
from windtunnel.checkpoint import AtomicCheckpointIO, checkpoint_path
from windtunnel.interfaces import Evaluation

TOKENS_PER_STEP = 32

# What Lightning says of every training on a CPU, and of torch 2.13.
QUIET = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec"),
]


def make_facts(folder: Path, **changes: Any) -> JobFacts:
    values: dict[str, Any] = {
        "job": "0123456789ab",
        "name": "tiny",
        "task": "train",
        "role": "rung",
        "seed": 1,
        "config": {"seed": 1, "model": {"width": 4}},
        "parameters": {"total": 16, "non_embedding": 12},
        "flops_per_token": {"kaplan": 72.0, "palm": 96.0},
        "total_tokens": 40 * TOKENS_PER_STEP,
        "tokens_per_step": TOKENS_PER_STEP,
        "table": [{"name": "matrix", "role": "hidden", "lr": 1.0}],
        "choices": {"precision": "32-true", "compile": False},
        "data": {"source": "0" * 12},
        "versions": {"torch": "2"},
        "git": {"commit": None, "dirty": None},
        "inputs": [],
        "warnings": [],
        "folder": folder,
        "checkpoint": checkpoint_path(folder),
    }
    return JobFacts(**{**values, **changes})


class Stream(IterableDataset):
    """Batch k is a function of (seed, k) alone."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Tensor]:
        k = self.start
        while True:
            yield torch.randn(8, 4, generator=torch.Generator().manual_seed(1000 + k))
            k += 1


class TinyData(L.LightningDataModule):
    def __init__(self, accumulate: int = 1) -> None:
        super().__init__()
        self.accumulate, self.batches, self.seen = accumulate, 0, []

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.batches), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader([torch.ones(4, 4), torch.zeros(4, 4)], batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"batches": self.trainer.global_step * self.accumulate}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches = state_dict["batches"]


class TinyModule(L.LightningModule):
    """Learns y = 2 x; `on_step(module, global_step)` lets a test interfere before a step.

    `on_evaluation(module, global_step, place)` does so before, in and after an evaluation.
    """

    def __init__(
        self, *, compiled: bool = False, lr: float = 0.05, on_step: Callable | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Linear(8, 4, bias=False))
        if compiled:
            self.model.compile(backend="eager")
        self.lr, self.on_step, self.on_evaluation = lr, on_step, None
        self.evaluation: Evaluation | None = None
        self.losses: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if self.on_step is not None:
            self.on_step(self, self.global_step)
        loss = ((self.model(batch) - 2 * batch) ** 2).mean()
        self.losses.append(float(loss.detach()))
        self.log("train/loss", loss.detach())
        self.log("train/grad_norm", loss.detach() * 0 + 1)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.total, self.evaluation = torch.zeros(()), None
        self.interfere("start")

    def interfere(self, place: str | int) -> None:
        if self.on_evaluation is not None:
            self.on_evaluation(self, self.global_step, place)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.interfere(batch_idx)
        self.total += ((self.model(batch) - 2 * batch) ** 2).mean()

    def on_validation_epoch_end(self) -> None:
        self.interfere("end")
        loss = float(self.total)
        self.log("eval/loss", loss)
        self.evaluation = Evaluation(loss, loss / 2, 32, {"all": {"loss_nats": loss}})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def make_trainer(
    callbacks: list[Any], *, steps: int = 40, evaluate_every: int = 10, **changes: Any
) -> L.Trainer:
    values: dict[str, Any] = {
        "accelerator": "cpu",
        "max_steps": steps,
        "val_check_interval": evaluate_every,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "logger": False,
        "log_every_n_steps": 5,
        "enable_checkpointing": True,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "plugins": [AtomicCheckpointIO()],
    }
    return L.Trainer(callbacks=callbacks, **{**values, **changes})
