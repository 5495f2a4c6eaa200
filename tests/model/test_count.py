from __future__ import annotations

import torch

from tests.model.parts import make_gpt
from windtunnel.model.count import flops_per_token, parameter_counts


def test_flops_of_gpt2_small() -> None:
    """12 layers, width 768, vocabulary 50304, context 1024: the table of Porian et al. 2024."""
    matrices, head = 12 * 12 * 768**2, 50304 * 768
    counts = {"total": 0, "non_embedding": matrices, "with_head": matrices + head}
    flops = flops_per_token(counts, depth=12, width=768, length=1024)
    assert round(flops["kaplan"] / 1e8, 3) == 5.096
    assert round(flops["head_counted"] / 1e8, 3) == 7.414
    assert round(flops["causal_attention"] / 1e8, 3) == 7.980
    assert round(flops["palm"] / 1e8, 3) == 8.547


def test_counts_by_convention() -> None:
    """12 L d^2 in matrices, gains beside them, tables left out; a tied table counts once."""
    d, n_layers, n_vocab = 32, 2, 61
    gains = n_layers * (2 * d + 2 * 8) + d
    inside = 12 * n_layers * d * d + gains
    untied = parameter_counts(make_gpt())
    assert untied == {
        "total": inside + 2 * n_vocab * d,
        "non_embedding": inside,
        "with_head": inside + n_vocab * d,
    }
    tied = parameter_counts(make_gpt(head={"tied": True}))
    assert tied == {**untied, "total": inside + n_vocab * d}


def test_counts_need_no_memory() -> None:
    with torch.device("meta"):
        model = make_gpt()
    assert parameter_counts(model)["total"] > 0
