"""What every attention layer of one forward pass shares.

Axes: B batch, T time, K head size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Context(NamedTuple):
    """rotate: turns queries and keys [B, H, T, K] by their positions. mask_B1TT: True where a token
    may look, or None for plain causal attention over the whole window."""

    rotate: Callable[[Tensor], Tensor]
    mask_B1TT: Tensor | None


def document_mask(documents_BT: Tensor) -> Tensor:
    """True where a token [B, 1, T, .] may look at a token of its own document not after it."""
    length = documents_BT.shape[1]
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=documents_BT.device).tril()
    return (same_BTT & causal_TT)[:, None]
