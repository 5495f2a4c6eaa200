"""A trained model that only gives losses: no gradient, no dropout, in the precision asked for.

Axes: B batch, T time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy import ndarray

from windtunnel.interfaces import IGNORE_INDEX, Batch

Precision = Literal["64-true", "32-true", "bf16-true", "bf16-mixed"]
_WEIGHTS = {"64-true": torch.float64, "32-true": torch.float32, "bf16-true": torch.bfloat16}


class Frozen:
    """Losses of the tokens of a batch under an objective that has been trained.

    length: predictions that the model makes in one window at most. masked: whether it was trained
    with the documents of a window kept apart.
    """

    def __init__(
        self, objective: Any, *, length: int, masked: bool, device: str, precision: Precision
    ) -> None:
        if precision not in (*_WEIGHTS, "bf16-mixed"):
            raise ValueError(
                f"trainer.precision: expected {', '.join(_WEIGHTS)} or bf16-mixed to score in, got "
                f"{precision!r}; choose one"
            )
        self.length, self._masked, self._device = length, masked, device
        self._mixed = precision == "bf16-mixed"
        self._objective = objective.to(device, _WEIGHTS.get(precision, torch.float32)).eval()

    @torch.inference_mode()
    def nats(self, rows_BT: ndarray) -> ndarray:
        """-ln p of every token but the first of its row [B, T - 1]; 0 for `IGNORE_INDEX`."""
        tokens_BT = torch.from_numpy(np.maximum(rows_BT[:, :-1], 0)).to(self._device)
        targets_BT = torch.from_numpy(np.ascontiguousarray(rows_BT[:, 1:])).to(self._device)
        documents_BT = torch.zeros_like(tokens_BT) if self._masked else None
        domains_B = torch.zeros_like(tokens_BT[:, 0])
        with self._autocast():
            output = self._objective(Batch(tokens_BT, targets_BT, documents_BT, domains_B))
        return output.nll_BT.double().cpu().numpy() * (rows_BT[:, 1:] != IGNORE_INDEX)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device, torch.bfloat16) if self._mixed else nullcontext()
