"""Calibration: does a model that is sure of a share c of its guesses get a share c of them right?

After training, on the held-out tokens, with the likeliest token as the guess, its probability as
the confidence, and the guesses in bins b of n_b tokens by confidence,

    ECE = sum_b n_b / n |accuracy_b - confidence_b|

with bins of equal width (`ece`) and of equal mass (`ece_equal_mass`). Guesses are counted in cells
of 1 / (1000 bins), which the bins are made of: memory does not grow with the tokens, and an edge
of a bin of equal mass is right to a cell. Logits are made for `chunk` tokens at a time.

Source: Guo et al. 2017, arXiv 1706.04599, equation 3; equal mass: Nguyen and O'Connor 2015, arXiv
1508.05154.

Axes: B batch, T time, N tokens, D width, V vocabulary, C cells.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from windtunnel.callbacks.facts import JobFacts
from windtunnel.interfaces import IGNORE_INDEX, Batch

CELLS_PER_BIN = 1000


class Calibration(L.Callback):
    """Leaves `calibration` in the record's measurements.

    Reads the model from `pl_module.objective.model`, which has a `head`.
    """

    def __init__(self, facts: JobFacts, *, bins: int, chunk: int) -> None:
        for name, value in (("bins", bins), ("chunk", chunk)):
            if value < 1:
                raise ValueError(
                    f"callbacks.calibration.{name} must be at least 1, got {value}: 15 bins and "
                    "chunks of 1024 tokens are usual"
                )
        self.bins, self.chunk = bins, chunk
        self.measurements: dict[str, Any] = {}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Goes over the held-out tokens once more."""
        objective: Any = pl_module.objective
        cells_3C = torch.zeros(3, self.bins * CELLS_PER_BIN, dtype=torch.float64)
        cells_3C = cells_3C.to(trainer.strategy.root_device)
        loaders: Any = trainer.val_dataloaders
        for batch in loaders:
            own: Batch = trainer.strategy.batch_to_device(batch)
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                self._count(objective.model, own, cells_3C)
        if trainer.world_size > 1:
            cells_3C = trainer.strategy.reduce(cells_3C, reduce_op="sum")
        self.measurements["calibration"] = summary(cells_3C, self.bins)

    def _count(self, model: Any, batch: Batch, cells_3C: Tensor) -> None:
        hidden_ND = model(batch.tokens_BT, batch.documents_BT).flatten(0, 1)
        chunks = zip(
            hidden_ND.split(self.chunk), batch.targets_BT.flatten().split(self.chunk), strict=True
        )
        for own_ND, targets_N in chunks:
            logits_NV = model.head(own_ND.unsqueeze(0)).squeeze(0).float()
            count(logits_NV, targets_N, cells_3C)


def count(logits_NV: Tensor, targets_N: Tensor, cells_3C: Tensor) -> None:
    """Adds guesses, their confidence and the right ones to the cells of their confidence."""
    highest_N, guess_N = logits_NV.max(-1)
    confidence_N = (highest_N - logits_NV.logsumexp(-1)).exp().double()
    scored_N = (targets_N != IGNORE_INDEX).double()
    right_N = (guess_N == targets_N).double()
    n_cells = cells_3C.shape[1]
    # Bins are closed above, as in the source.
    cell_N = ((confidence_N * n_cells).ceil().long() - 1).clamp(0, n_cells - 1)
    rows_3N = torch.stack([scored_N, scored_N * confidence_N, right_N])
    cells_3C.index_add_(1, cell_N, rows_3N)


def summary(cells_3C: Tensor, bins: int) -> dict[str, Any]:
    """Both errors, and the confidence and accuracy that they set beside each other."""
    n_C = cells_3C[0]
    n = float(n_C.sum())
    if n == 0:
        return {"n_tokens": 0}
    width_C = torch.arange(len(n_C), device=n_C.device) // CELLS_PER_BIN
    # The bin of a cell of equal mass is where the middle of its guesses stands among all.
    mass_C = ((n_C.cumsum(0) - n_C / 2) / n * bins).long().clamp(max=bins - 1)
    return {
        "ece": expected_error(cells_3C, width_C, bins),
        "ece_equal_mass": expected_error(cells_3C, mass_C, bins),
        "confidence": float(cells_3C[1].sum()) / n,
        "accuracy": float(cells_3C[2].sum()) / n,
        "bins": bins,
        "n_tokens": int(n),
    }


def expected_error(cells_3C: Tensor, bin_C: Tensor, bins: int) -> float:
    """ECE of cells that are put together into bins."""
    sums_3b = cells_3C.new_zeros(3, bins).index_add_(1, bin_C, cells_3C)
    return float((sums_3b[2] - sums_3b[1]).abs().sum() / sums_3b[0].sum())
