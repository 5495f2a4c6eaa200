"""What the tests of losses are tried on: drawn logits, targets, a head and a teacher."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from windtunnel.interfaces import IGNORE_INDEX, Batch
from windtunnel.model.head import LinearHead

N_TOKENS, WIDTH = 11, 5


def batch_of(targets_BT: Tensor, tokens_BT: Tensor | None = None) -> Batch:
    tokens_BT = torch.zeros_like(targets_BT) if tokens_BT is None else tokens_BT
    return Batch(tokens_BT, targets_BT, None, torch.zeros(len(targets_BT), dtype=torch.long))


def identity(hidden_BTD: Tensor) -> Tensor:
    """A head that takes the hidden states for logits."""
    return hidden_BTD


def draw_logits(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def draw_targets(*shape: int, n_tokens: int = N_TOKENS, seed: int = 1) -> Tensor:
    return torch.randint(n_tokens, shape, generator=torch.Generator().manual_seed(seed))


def draw_head(seed: int = 2) -> LinearHead:
    generator = torch.Generator().manual_seed(seed)
    table = nn.Parameter(torch.randn(N_TOKENS, WIDTH, generator=generator))
    return LinearHead(WIDTH, N_TOKENS, table, tied=True, zero=False, softcap=None, multiplier=1.3)


class TinyTeacher(nn.Module):
    """Knows a distribution for every token, whatever stands before it."""

    def __init__(self, n_tokens: int = N_TOKENS) -> None:
        super().__init__()
        self.table = nn.Parameter(draw_logits(n_tokens, n_tokens, seed=3).float())
        self.dropout, self.head = nn.Dropout(0.5), nn.Identity()

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        return self.dropout(self.table[tokens_BT])


def of_probability(p: float) -> Tensor:
    """The negative log-likelihood of a target of this probability."""
    return torch.tensor(-math.log(p), dtype=torch.float64) if p else torch.tensor(math.inf)


def ignoring(targets_BT: Tensor) -> Tensor:
    """A copy with some targets ignored."""
    targets_BT = targets_BT.clone()
    targets_BT[0, 1], targets_BT[-1, 2:] = IGNORE_INDEX, IGNORE_INDEX
    return targets_BT
