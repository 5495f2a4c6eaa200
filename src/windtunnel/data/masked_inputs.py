"""Masked thought: some tokens are hidden from the model that predicts what follows them.

In training each input token is replaced by a mask, an id after all others, with probability

    p = share * min(1, tokens / ramp_tokens)

after so many training tokens. Targets stay as they are; a token that is not itself a target, such
as one of a prompt, is never hidden. The draws of micro-batch k are a function of (seed, k).
Evaluation sees everything.

Source: Chen et al. 2024, arXiv 2403.02178, section 3: share 0.4, and a ramp over two thirds of the
training. Deviation: every scored token counts, where theirs are those of a response.

Axes: B batch, T time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from windtunnel.interfaces import IGNORE_INDEX, Batch


class MaskedInputs:
    """Hides a share of the inputs."""

    n_ids = 1  # that it adds to the vocabulary

    def __init__(self, *, share: float, ramp_tokens: int, seed: int) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"transform.share must lie in [0, 1], got {share}: 0.4 is usual")
        if ramp_tokens < 0:
            raise ValueError(
                f"transform.ramp_tokens must not be below 0, got {ramp_tokens}: two thirds of "
                "budget.tokens are usual, 0 is no ramp"
            )
        self.share, self.ramp_tokens, self.seed = share, ramp_tokens, seed

    def probability(self, tokens: int) -> float:
        """How likely an input is hidden after so many training tokens."""
        return self.share * min(1.0, tokens / self.ramp_tokens) if self.ramp_tokens else self.share

    def hidden(self, k: int, shape: tuple[int, int]) -> Tensor:
        """Where micro-batch k of this shape over all devices hides what it may hide [B, T]."""
        generator = np.random.Generator(np.random.Philox(key=[self.seed, k]))
        probability = self.probability(k * shape[0] * shape[1])
        return torch.from_numpy(generator.random(shape) < probability)

    def __call__(self, batch: Batch, hidden_BT: Tensor, mask: int) -> Batch:
        """The batch with masks; its first column has no target of its own, so it is shown."""
        is_target_BT = torch.zeros_like(hidden_BT)
        is_target_BT[:, 1:] = batch.targets_BT[:, :-1] != IGNORE_INDEX
        return batch._replace(tokens_BT=batch.tokens_BT.masked_fill(hidden_BT & is_target_BT, mask))


class MaskedBatches(Dataset[Batch]):
    """Batches of another dataset, of which this device has the rows `own` of `n_rows`."""

    def __init__(
        self, batches: Dataset[Batch], masked: MaskedInputs, mask: int, n_rows: int, own: slice
    ) -> None:
        self._batches, self._masked, self._mask = batches, masked, mask
        self._n_rows, self._own = n_rows, own

    def __getitem__(self, k: int) -> Batch:
        batch = self._batches[k]
        hidden_BT = self._masked.hidden(k, (self._n_rows, batch.tokens_BT.shape[1]))
        return self._masked(batch, hidden_BT[self._own], self._mask)
