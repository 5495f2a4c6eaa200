"""A small GPT out of the parts of `conf/model`, for tests."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from windtunnel.model.attention.softmax import SoftmaxAttention
from windtunnel.model.gpt import GPT
from windtunnel.model.head import LinearHead
from windtunnel.model.mlp import GeluMLP
from windtunnel.model.norm import RMSNorm
from windtunnel.model.parametrization import initialise, multipliers, mup
from windtunnel.model.positions import Rope

ATTENTION = {"queries_per_key": 1, "qk_norm": True, "zero_query": False, "multiplier": 1.0}
HEAD = {"tied": False, "zero": False, "softcap": None, "multiplier": 1.0}


def make_gpt(vocab_size: int = 61, length: int = 12, **changes: Any) -> GPT:
    """A GPT of width 32 and depth 2, at its base shape unless changed."""
    attention = partial(SoftmaxAttention, **ATTENTION | changes.pop("attention", {}))
    head = changes.pop("head", {})
    if isinstance(head, dict):
        head = partial(LinearHead, **HEAD | head)
    settings = {
        "width": 32,
        "depth": 2,
        "head_size": 8,
        "base_width": 32,
        "base_depth": 2,
        "base_head_size": 8,
        "embedding_multiplier": 1.0,
        "dropout": 0.0,
        "positions": partial(Rope, theta=10000.0),
        "norm": partial(RMSNorm, eps=1e-6),
        "attention": attention,
        "mlp": partial(GeluMLP, expansion=4.0),
        "head": head,
    }
    return GPT(vocab_size, length, **settings | changes)


def drawn_gpt(rule: Any = mup, seed: int = 1, **changes: Any) -> GPT:
    """The same, initialised from a seed."""
    model = make_gpt(**changes)
    table = multipliers(model, rule, "adam")
    initialise(model, table, init_std=0.2, generator=torch.Generator().manual_seed(seed))
    return model


def some_tokens(model: GPT, n: int = 3, seed: int = 0) -> torch.Tensor:
    """Token ids [n, length]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, model.vocab_size, (n, model.length), generator=generator)
