from __future__ import annotations

import pytest
import torch

from tests.model.parts import drawn_gpt, make_gpt
from windtunnel.model.parametrization import multipliers, mup
from windtunnel.optim.groups import decay, parameter_groups

SETTINGS = {"lr": 0.01, "eps": 1e-8, "weight_decay": 0.1}


def groups_of(width: int, mode, **changes):
    model = make_gpt(width=width, **changes)
    table = multipliers(model, mup, "adam")
    return model, parameter_groups(model, table, weight_decay_mode=mode, **SETTINGS)


def group_of(model, groups, name: str):
    wanted = dict(model.named_parameters())[name]
    return next(g for g in groups if any(p is wanted for p in g["params"]))


@pytest.mark.parametrize("mode", ["coupled", "mup", "independent"])
def test_every_parameter_is_in_one_group_and_vectors_are_not_decayed(mode) -> None:
    model, groups = groups_of(64, mode)
    inside = [id(p) for g in groups for p in g["params"]]
    assert sorted(inside) == sorted(id(p) for p in model.parameters())
    assert group_of(model, groups, "norm.gain")["weight_decay"] == 0.0


def test_shrinkage_per_step_against_width() -> None:
    """lr * decay of a hidden matrix is free of width under `mup` and `independent` alone."""
    name = "blocks.0.mlp.up.weight"
    shrink = {}
    for mode in ("coupled", "mup", "independent"):
        per_width = [group_of(*groups_of(width, mode), name) for width in (32, 128)]
        shrink[mode] = [g["lr"] * g["weight_decay"] for g in per_width]
    assert shrink["coupled"] == pytest.approx([0.001, 0.00025])
    assert shrink["mup"] == pytest.approx([0.001, 0.001])
    assert shrink["independent"] == pytest.approx([0.1, 0.1])


def test_a_tied_table_is_optimised_once() -> None:
    model, groups = groups_of(64, "mup", head={"tied": True})
    inside = [id(p) for g in groups for p in g["params"]]
    assert inside.count(id(model.embedding.weight)) == 1
    assert group_of(model, groups, "embedding.weight")["lr"] == 0.01


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="weight_decay_mode must be coupled, mup or independent"):
        decay("wrong", 0.1, 0.01, 1.0)  # type: ignore[arg-type]


def test_ten_steps_equal_plain_adamw_at_the_base_shape() -> None:
    """With every multiplier 1 the groups train as one AdamW over all matrices and vectors."""
    one, other = drawn_gpt(), drawn_gpt()
    table = multipliers(one, mup, "adam")
    table = {name: type(row)(1, 1, 1, 1, 1) for name, row in table.items()}
    grouped = torch.optim.AdamW(
        parameter_groups(one, table, weight_decay_mode="mup", **SETTINGS), fused=True
    )
    plain = torch.optim.AdamW(
        [
            {"params": [p for p in other.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in other.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=0.01,
    )
    tokens = torch.randint(0, 61, (4, 12), generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        for model, optimizer in ((one, grouped), (other, plain)):
            loss = torch.nn.functional.cross_entropy(
                model.head(model(tokens[:, :-1])).flatten(0, 1), tokens[:, 1:].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
