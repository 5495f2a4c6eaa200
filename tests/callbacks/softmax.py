"""The smallest language model, logits = W h with h a fixed row per token, trained by Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from tests.callbacks.tiny import TinyData, make_trainer
from windtunnel.interfaces import IGNORE_INDEX, Batch

V, D = 6, 4
LOUD = 99  # domain of a batch whose loss counts fifty times


class Rows(nn.Module):
    """Hidden states are rows of a fixed table; the head is one matrix."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.table = torch.randn(V, D, generator=draw)
        self.head = nn.Linear(D, V, bias=False)
        self.head.weight.data = torch.randn(V, D, generator=draw)

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        return self.table[tokens_BT]


class Objective(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        logits = self.model.head(self.model(batch.tokens_BT, batch.documents_BT))
        return F.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten())


def some_batch(step: int, n: int = 3, length: int = 5, vocab: int = V) -> Batch:
    draw = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, vocab, (n, length), generator=draw)
    targets = (3 * tokens + 1) % vocab
    targets[0, 0] = IGNORE_INDEX
    return Batch(tokens, targets, None, tokens[:, 0])


def loud_batch(step: int) -> Batch:
    batch = some_batch(step)
    return batch._replace(domains_B=torch.full_like(batch.domains_B, LOUD))


class Stream(IterableDataset):
    """Batch k is a function of k alone."""

    def __init__(self, start: int, make: Callable[[int], Batch]) -> None:
        self.start, self.make = start, make

    def __iter__(self) -> Iterator[Batch]:
        k = self.start
        while True:
            yield self.make(k)
            k += 1


class Text(TinyData):
    def __init__(self, make: Callable[[int], Batch] = some_batch, accumulate: int = 1) -> None:
        super().__init__(accumulate)
        self.make = make

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.batches, self.make), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader([self.make(10**6)], batch_size=None)  # type: ignore[arg-type]


class Language(L.LightningModule):
    """Keeps the weights after every step and the losses; the rate of step k is `rate(k)`."""

    def __init__(
        self,
        model: Any = None,
        *,
        rate: Callable[[int], float] = lambda step: 0.1,
        build: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    ) -> None:
        super().__init__()
        self.objective = Objective(Rows() if model is None else model)
        self.rate, self.build = rate, build
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.weights: list[list[Tensor]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.objective(batch)
        if batch.domains_B[0] == LOUD:
            loss = 50 * loss
        self.losses.append(float(loss.detach()))
        return loss

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        self.norms.append(float(nn.utils.get_total_norm(grads)))

    def on_train_batch_end(self, *_: Any) -> None:
        self.weights.append([p.detach().clone() for p in self.parameters()])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.build(self.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(
    module: Language, callbacks: list[Any], steps: int = 20, data: Any = None, **settings: Any
) -> Language:
    """Trains without checkpoints; the weights are in the module."""
    trainer = make_trainer(callbacks, steps=steps, enable_checkpointing=False,
                           accumulate_grad_batches=getattr(data, "accumulate", 1))  # fmt: skip
    trainer.fit(module, Text() if data is None else data, **settings)
    return module


def same(a: Language, b: Language) -> bool:
    """Whether two trainings took the same way, to the bit."""
    pairs = zip(a.weights, b.weights, strict=True)
    return all(torch.equal(x, y) for own, other in pairs for x, y in zip(own, other, strict=True))
