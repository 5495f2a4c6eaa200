"""A decoder-only transformer, put together from parts that the configuration chooses.

x = embedding(tokens); for each block: x += attention(norm(x)); x += mlp(norm(x)); norm(x).
Source: Radford et al. 2019 (GPT-2), with pre-normalisation and no biases.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import Base, Place, Role
from windtunnel.model.attention.context import Context, document_mask
from windtunnel.model.linear import prefix

Build = Callable[..., Any]


class Block(nn.Module):
    """One layer: attention and MLP, each reading a normalised stream and adding to it."""

    def __init__(
        self, width: int, head_size: int, norm: Build, attention: Build, mlp: Build, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = norm(width), norm(width)
        self.attention = attention(width, head_size, norm)
        self.mlp = mlp(width)
        # Without dropout the layer is left out, so that training and evaluation trace alike.
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x_BTD: Tensor, context: Context) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), context))
        return x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))

    def roles(self, base: Block) -> dict[str, Place]:
        parts = ("attention_norm", "attention", "mlp_norm", "mlp")
        return {
            key: place
            for name in parts
            for key, place in prefix(name, getattr(self, name).roles(getattr(base, name))).items()
        }


class GPT(nn.Module):
    """A language model: tokens [B, T] to hidden states [B, T, D]; `head` gives the logits.

    The base shape (`base_width`, `base_depth`) is where the hyperparameters were chosen: roles are
    stated against it, by building its parts without memory.
    """

    def __init__(
        self,
        vocab_size: int,
        length: int,
        *,
        width: int,
        depth: int,
        head_size: int,
        base_width: int,
        base_depth: int,
        base_head_size: int,
        embedding_multiplier: float,
        dropout: float,
        positions: Build,
        norm: Build,
        attention: Build,
        mlp: Build,
        head: Build,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.base_depth = width, depth, base_depth
        self.length, self.vocab_size = length, vocab_size
        self.embedding_multiplier = embedding_multiplier
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions: Any = positions(width, head_size, length)
        self.blocks = nn.ModuleList(
            Block(width, head_size, norm, attention, mlp, dropout) for _ in range(depth)
        )
        self.norm: Any = norm(width)
        self.head: Any = head(width, vocab_size, self.embedding.weight)

        def build_base() -> GPT:
            return GPT(
                vocab_size, length, width=base_width, depth=1, head_size=base_head_size,
                base_width=base_width, base_depth=base_depth, base_head_size=base_head_size,
                embedding_multiplier=embedding_multiplier, dropout=dropout, positions=positions,
                norm=norm, attention=attention, mlp=mlp, head=head,
            )  # fmt: skip

        self._build_base = build_base

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        mask = None if documents_BT is None else document_mask(documents_BT)
        context = Context(self.positions.rotate, mask)
        x_BTD = self.positions.embed(F.embedding(tokens_BT, self.embedding.weight))
        x_BTD = x_BTD * self.embedding_multiplier
        for block in self.blocks:
            x_BTD = block(x_BTD, context)
        return self.norm(x_BTD)

    def _blocks(self) -> list[Any]:
        return list(self.blocks)

    def roles(self) -> dict[str, Place]:
        """The place of every parameter, by its name; of a shared one, under each of its names."""
        with torch.device("meta"):
            base = self._build_base()
        table = Base(self.vocab_size, base.width)
        places = {"embedding.weight": Place(Role.INPUT, self.vocab_size, self.width, table)}
        places |= prefix("positions", self.positions.roles(base.positions))
        base_block: Any = base.blocks[0]
        for i, block in enumerate(self._blocks()):
            places |= prefix(f"blocks.{i}", block.roles(base_block))
        places |= prefix("norm", self.norm.roles(base.norm, Role.OUTER_VECTOR))
        return places | prefix("head", self.head.roles(base.head))
