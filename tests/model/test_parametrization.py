from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from tests.model.parts import drawn_gpt, make_gpt, some_tokens
from windtunnel.interfaces import Base, Multipliers, Role
from windtunnel.model.parametrization import (
    completep,
    initialise,
    multipliers,
    mup,
    rows,
    standard,
)

# arXiv 2203.03466, table 8, at m = 4 and depth 2: std, lr, weight decay, eps, forward.
TABLE_8 = {
    (Role.INPUT, "adam"): (1, 1, 1, 1, 1),
    (Role.VECTOR, "adam"): (1, 1, 1, 1, 1),
    (Role.OUTER_VECTOR, "adam"): (1, 1, 1, 1, 1),
    (Role.HIDDEN, "adam"): (0.5, 0.25, 4, 0.25, 1),
    (Role.QUERY, "adam"): (0.5, 0.25, 4, 0.25, 1),
    (Role.WRITER, "adam"): (0.25, 0.25, 4, 0.25, 1),
    (Role.OUTPUT, "adam"): (1, 1, 1, 1, 0.25),
    (Role.HIDDEN, "sgd"): (0.5, 1, 1, 0.25, 1),
    (Role.INPUT, "sgd"): (1, 4, 0.25, 1, 1),
    (Role.OUTPUT, "sgd"): (1, 4, 0.25, 1, 0.25),
    (Role.HIDDEN, "muon"): (0.5, 1, 1, 0.25, 1),
    (Role.HIDDEN, "relative"): (0.5, 0.5, 2, 0.25, 1),
    (Role.INPUT, "relative"): (1, 1, 1, 1, 1),
    (Role.OUTPUT, "relative"): (1, 1, 1, 1, 0.25),
}
FANS = {Role.INPUT: (50, 128), Role.VECTOR: (1, 128), Role.OUTER_VECTOR: (1, 128)}
BASES = {Role.INPUT: Base(50, 32), Role.VECTOR: Base(1, 32), Role.OUTER_VECTOR: Base(1, 32)}


@pytest.mark.parametrize(("role", "update"), TABLE_8)
def test_mup_is_table_8(role: Role, update) -> None:
    fans, base = FANS.get(role, (128, 128)), BASES.get(role, Base(32, 32))
    if role is Role.OUTPUT:
        fans, base = (128, 50), Base(32, 50)
    actual = mup(role, *fans, base, 2, 2, update)
    assert actual == Multipliers(*map(pytest.approx, TABLE_8[role, update]))


def test_muon_follows_the_spectral_condition() -> None:
    """The update's size grows as sqrt(fan_out / fan_in)."""
    up = mup(Role.HIDDEN, 128, 1024, Base(32, 64), 2, 2, "muon")
    assert up.lr == pytest.approx(((1024 / 64) / (128 / 32)) ** 0.5)


def test_standard_does_not_know_the_width() -> None:
    assert standard(Role.HIDDEN, 512, 512, Base(32, 32), 2, 2, "adam") == Multipliers(1, 1, 1, 1, 1)
    writer = standard(Role.WRITER, 512, 512, Base(32, 32), 8, 2, "adam")
    assert writer.init_std == pytest.approx(1 / 4)


def test_completep_oracle() -> None:
    """m = 4, depth ratio 8, alpha 1, lr 1e-3, decay 0.1, eps 1e-12 (arXiv 2505.01618)."""
    rule = partial(completep, alpha=1.0)
    writer = rule(Role.WRITER, 256, 256, Base(64, 64), 16, 2, "adam")
    assert writer.forward == pytest.approx(0.125)
    assert writer.init_std == pytest.approx(0.5)
    assert 1e-3 * writer.lr == pytest.approx(2.5e-4)
    assert 0.1 * writer.weight_decay == pytest.approx(0.4)
    assert 1e-12 * writer.eps == pytest.approx(3.125e-14)
    gain = rule(Role.VECTOR, 1, 256, Base(1, 64), 16, 2, "adam")
    assert 1e-3 * gain.lr == pytest.approx(1e-3)
    half = partial(completep, alpha=0.5)
    assert half(Role.VECTOR, 1, 256, Base(1, 64), 16, 2, "adam").lr == pytest.approx(8**-0.5)
    assert half(Role.HIDDEN, 256, 256, Base(64, 64), 16, 2, "adam").lr == pytest.approx(8**-0.5 / 4)


@pytest.mark.parametrize("tied", [False, True])
def test_at_the_base_shape_mup_is_the_standard_parametrisation(tied: bool) -> None:
    """Same logits, and the same multipliers of every update."""
    one, other = (drawn_gpt(rule, head={"tied": tied}) for rule in (mup, standard))
    tokens = some_tokens(one)
    assert torch.equal(one.head(one(tokens)), other.head(other(tokens)))
    assert multipliers(one, mup, "adam") == multipliers(other, standard, "adam")


def test_doubling_the_width_halves_variance_and_rate() -> None:
    tables = [multipliers(make_gpt(width=w), mup, "adam") for w in (64, 128)]
    name = "blocks.1.mlp.up.weight"
    assert tables[1][name].lr == tables[0][name].lr / 2
    assert tables[1][name].init_std ** 2 == pytest.approx(tables[0][name].init_std ** 2 / 2)
    for table in tables:
        assert table[name].lr * table[name].weight_decay == pytest.approx(1.0)


def test_drawn_spread_and_forward_multipliers() -> None:
    model = drawn_gpt(width=128, depth=4)
    assert model.blocks[0].mlp.up.weight.std().item() == pytest.approx(0.2 / 2, rel=0.03)
    writer = model.blocks[0].mlp.down.weight.std().item()
    assert writer == pytest.approx(0.2 / 2 / 8**0.5, rel=0.03)
    assert model.embedding.weight.std().item() == pytest.approx(0.2, rel=0.03)
    assert model.head.scale == 0.25
    assert model.blocks[0].attention.scale == 1.0
    assert torch.equal(model.norm.gain, torch.ones(128))


def test_tied_table_stays_an_input_and_the_head_divides() -> None:
    """The trap of mup #55: the two mechanisms must not stack."""
    model = drawn_gpt(width=128, head={"tied": True})
    table = multipliers(model, mup, "adam")
    assert table["embedding.weight"].init_std == 1.0
    assert table["embedding.weight"].forward == 1.0
    assert model.head.scale == 0.25
    assert model.embedding.weight.std().item() == pytest.approx(0.2, rel=0.03)
    hidden = torch.randn(1, 2, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.head(hidden), hidden @ model.embedding.weight.T / 4)


def test_zero_starts() -> None:
    model = drawn_gpt(attention={"zero_query": True}, head={"zero": True})
    assert model.head.weight.abs().max() == 0
    assert model.blocks[0].attention.query.weight.abs().max() == 0
    assert model.blocks[0].attention.key.weight.abs().min() > 0


def test_branch_multiplier_reaches_the_stream() -> None:
    """Under CompleteP what a block adds is scaled by base depth / depth."""
    model = drawn_gpt(partial(completep, alpha=1.0), depth=8)
    block = model.blocks[0].mlp
    x = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(0))
    inner = torch.nn.functional.gelu(block.up(x), approximate="tanh")
    torch.testing.assert_close(block(x), inner @ block.down.weight.T / 4)


def test_a_parameter_without_a_role_is_refused() -> None:
    model = make_gpt()
    model.blocks[0].extra = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r"needs a role, but blocks\.0\.extra of GPT has none"):
        multipliers(model, mup, "adam")


def test_an_unknown_update_rule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"optim\.update_rule must be one of adam, sgd, muon, rel"):
        multipliers(make_gpt(), mup, "newton")  # type: ignore[arg-type]


def test_the_table_has_a_row_for_every_name() -> None:
    model = make_gpt(width=64)
    table = rows(model, multipliers(model, mup, "adam"))
    names = {row["name"] for row in table}
    assert {name for name, _ in model.named_parameters()} <= names
    query = next(row for row in table if row["name"] == "blocks.0.attention.query.weight")
    assert query["role"] == "query"
    assert query["lr"] == 0.5


def test_same_seed_same_model_and_another_seed_another() -> None:
    one, same, other = drawn_gpt(seed=1), drawn_gpt(seed=1), drawn_gpt(seed=2)
    assert torch.equal(one.embedding.weight, same.embedding.weight)
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_initialising_draws_from_the_given_generator_alone() -> None:
    model = make_gpt()
    state = torch.get_rng_state()
    table = multipliers(model, mup, "adam")
    initialise(model, table, init_std=1.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("rule", [mup, standard])
def test_activations_against_width_as_physics(rule) -> None:
    """At the start, standard logits grow with width and muP logits shrink as width^-1/2."""
    sizes = []
    for width in (32, 512):
        model = drawn_gpt(rule, width=width, depth=1)
        sizes.append(model.head(model(some_tokens(model, 8))).abs().mean().log2().item())
    slope = (sizes[1] - sizes[0]) / 4
    assert slope == pytest.approx(-0.5 if rule is mup else 0.5, abs=0.1)
