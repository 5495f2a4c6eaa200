"""Where the rows of a head lie: how few directions they span, how near to their classes' centres.

After training, on the held-out tokens, with w_v the row of token v and c_v the mean hidden state
of the positions whose target is v (tokens with `least` positions or more):

    variance_share[k]   share of the variance of the rows in their first k principal components
    centre_distance     root of sum |w_v - c_v|^2 / sum |c_v - c|^2, c the mean of all c_v
    centre_cosine       mean cosine of w_v - w and c_v - c; free of the size of the rows

A row on its centre has distance 0 and cosine 1; a row of zeros, relative to centred classes, 1.

Source: Baek et al. 2025, arXiv 2502.01628, sections 3 and 4 (principal components, class centres);
the two figures of nearness are ours.

Axes: B batch, T time, D width, V vocabulary, C tokens that are seen often enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.callbacks.facts import JobFacts
from windtunnel.interfaces import IGNORE_INDEX, Batch


class HeadGeometry(L.Callback):
    """Leaves `head_geometry` in the record's measurements.

    Reads the model from `pl_module.objective.model`; its head has a row per token (`weight`).
    """

    def __init__(self, facts: JobFacts, *, components: Sequence[int], least: int) -> None:
        if least < 1:
            raise ValueError(
                "callbacks.head_geometry.least is how often a token is seen before its centre "
                f"counts, at least 1; got {least}"
            )
        self.components, self.least = components, least
        self.measurements: dict[str, Any] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses a head that has no row of its own for every token."""
        objective: Any = pl_module.objective
        head, vocab_size = objective.model.head, objective.model.vocab_size
        if len(getattr(head, "weight", ())) != vocab_size:
            raise ValueError(
                f"callbacks.head_geometry: expected a head with a row for each of {vocab_size} "
                f"tokens, got {type(head).__name__}: leave the callback out"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Goes over the held-out tokens once more."""
        objective: Any = pl_module.objective
        weight_VD: Tensor = objective.model.head.weight
        sums_VD, counts_V = self._sums(trainer, objective.model, weight_VD)
        if not (weight_VD.isfinite().all() and sums_VD.isfinite().all()):
            return  # training diverged, and the record says so
        seen_V = counts_V >= self.least
        centres_CD = sums_VD[seen_V] / counts_V[seen_V, None]
        rows_VD = weight_VD.detach().double()
        self.measurements["head_geometry"] = {
            "variance_share": variance_share(rows_VD, self.components),
            "n_tokens": int(seen_V.sum()),
            **nearness(rows_VD[seen_V], centres_CD),
        }

    def _sums(self, trainer: L.Trainer, model: Any, weight_VD: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the hidden states [V, D] and number of positions [V] of every target."""
        sums_VD = torch.zeros_like(weight_VD, dtype=torch.float64)
        counts_V = sums_VD.new_zeros(len(weight_VD))
        loaders: Any = trainer.val_dataloaders
        for batch in loaders:
            own: Batch = trainer.strategy.batch_to_device(batch)
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                hidden_BTD = model(own.tokens_BT, own.documents_BT)
            scored_BT = own.targets_BT != IGNORE_INDEX
            targets_N = own.targets_BT[scored_BT]
            sums_VD.index_add_(0, targets_N, hidden_BTD[scored_BT].double())
            counts_V.index_add_(0, targets_N, counts_V.new_ones(len(targets_N)))
        if trainer.world_size > 1:
            sums_VD = trainer.strategy.reduce(sums_VD, reduce_op="sum")
            counts_V = trainer.strategy.reduce(counts_V, reduce_op="sum")
        return sums_VD, counts_V


def variance_share(rows_VD: Tensor, components: Sequence[int]) -> dict[str, float]:
    """Share of the variance of rows in their first k principal components, for each k."""
    sizes_K = torch.linalg.svdvals(rows_VD - rows_VD.mean(0)).square()
    total = sizes_K.sum().clamp(min=torch.finfo(sizes_K.dtype).tiny)
    return {str(k): float(sizes_K[:k].sum() / total) for k in components}


def nearness(rows_CD: Tensor, centres_CD: Tensor) -> dict[str, float | None]:
    """How near rows lie to the centres of their classes; None without two classes that differ."""
    around_CD = centres_CD - centres_CD.mean(0)
    spread = around_CD.square().sum()
    if len(centres_CD) < 2 or spread == 0:
        return {"centre_distance": None, "centre_cosine": None}
    cosine_C = F.cosine_similarity(rows_CD - rows_CD.mean(0), around_CD, dim=-1)
    return {
        "centre_distance": float(((rows_CD - centres_CD).square().sum() / spread).sqrt()),
        "centre_cosine": float(cosine_C.mean()),
    }
