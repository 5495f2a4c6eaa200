from __future__ import annotations

import pytest
import torch

from tests.model.parts import drawn_gpt, make_gpt
from windtunnel.interfaces import Base, Place, Role
from windtunnel.model.parametrization import multipliers, mup
from windtunnel.optim.groups import decay, matrix_in_base, parameter_groups

SETTINGS = {"update_rule": "adam", "lr": 0.01, "eps": 1e-8, "weight_decay": 0.1}


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, r"optim\.lr must be above 0, got 0\.0"),
        ({"lr": -0.1}, r"optim\.lr must be above 0, got -0\.1"),
        ({"weight_decay": -0.1}, r"optim\.weight_decay must be 0 or more, got -0\.1"),
    ],
)
def test_rates_that_could_not_train_are_refused(change, message) -> None:
    model = make_gpt()
    table = multipliers(model, mup, "adam")
    with pytest.raises(ValueError, match=message):
        parameter_groups(model, table, weight_decay_mode="mup", **SETTINGS | change)


def test_only_what_the_rule_needs_splits_groups() -> None:
    """Hidden or not under Adam; under Muon the shape in the base model as well."""
    model = make_gpt()
    table = multipliers(model, mup, "adam")
    table = {name: type(row)(1, 1, 1, 1, 1) for name, row in table.items()}
    plain = parameter_groups(model, table, weight_decay_mode="mup", **SETTINGS)
    assert [(g["hidden"], g["weight_decay"]) for g in plain] == [
        (False, 0.1), (False, 0.0), (True, 0.1)
    ]  # fmt: skip
    muon = SETTINGS | {"update_rule": "muon"}
    groups = parameter_groups(model, table, weight_decay_mode="mup", **muon)
    shapes = {(g["base_shape"], g["heads"]) for g in groups if g["hidden"]}
    assert shapes == {
        ((32, 32), (4, 4)), ((32, 32), (1, 1)), ((128, 32), (1, 1)), ((32, 128), (1, 1))
    }  # fmt: skip
    wide = make_gpt(width=64)
    groups = parameter_groups(wide, multipliers(wide, mup, "muon"), weight_decay_mode="mup", **muon)
    assert group_of(wide, groups, "blocks.0.attention.query.weight")["heads"] == (8, 4)
    assert group_of(wide, groups, "blocks.0.mlp.up.weight")["base_shape"] == (128, 32)


@pytest.mark.parametrize(("shape", "heads"), [((4, 3, 2), 1), ((6,), 1), ((6, 4), 4)])
def test_what_muon_cannot_take_is_named_with_its_role(shape, heads) -> None:
    place = Place(Role.WRITER, 3, 4, Base(3, 4), heads=heads)
    with pytest.raises(ValueError, match=r"got blocks\.0\.experts \(role writer\) of shape \["):
        matrix_in_base("blocks.0.experts", torch.zeros(shape), place)


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
