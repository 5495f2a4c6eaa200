from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.model.parts import drawn_gpt, make_gpt, some_tokens
from windtunnel.interfaces import Role
from windtunnel.model.attention.context import document_mask
from windtunnel.model.mlp import GeluMLP, SquaredReluMLP, SwiGLU
from windtunnel.model.norm import LayerNorm, RMSNorm
from windtunnel.model.positions import Learned, Rope, Unordered

VARIANTS = {
    "default": {},
    "learned": {"positions": Learned},
    "unordered": {"positions": Unordered},
    "layernorm": {"norm": partial(LayerNorm, eps=1e-6)},
    "swiglu": {"mlp": partial(SwiGLU, expansion=8 / 3)},
    "squared_relu": {"mlp": partial(SquaredReluMLP, expansion=4.0)},
    "grouped": {"attention": {"queries_per_key": 2}},
    "multi_query": {"attention": {"queries_per_key": None}},
    "tied": {"head": {"tied": True}},
    "softcap": {"head": {"softcap": 5.0}},
    "no_qk_norm": {"attention": {"qk_norm": False}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_no_token_sees_a_later_one(name: str) -> None:
    """The gradient of a position's output is zero at every later input, and not at its own."""
    model = drawn_gpt(**VARIANTS[name])
    embedded = torch.randn(1, model.length, model.width, generator=torch.Generator().manual_seed(3))
    embedded.requires_grad_()
    inside = torch.nn.functional.embedding
    try:
        torch.nn.functional.embedding = lambda *_: embedded
        logits = model.head(model(some_tokens(model, 1)))
    finally:
        torch.nn.functional.embedding = inside
    at = 5
    (gradient,) = torch.autograd.grad(logits[0, at].square().sum(), embedded)
    assert gradient[0, : at + 1].abs().sum(-1).min() > 0
    assert gradient[0, at + 1 :].abs().max() == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_has_a_role_and_gets_a_gradient(name: str) -> None:
    model = drawn_gpt(**VARIANTS[name])
    named = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    places = model.roles()
    assert named
    assert named <= set(places)
    assert {k for k, p in places.items() if p.role is not Role.SCORE} == named
    model.head(model(some_tokens(model))).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_documents_in_one_window_do_not_see_each_other() -> None:
    """Two documents packed into one window give what each gives in a window of its own."""
    model = drawn_gpt()
    tokens = some_tokens(model, 1)
    documents = torch.tensor([[0] * 7 + [1] * 5])
    packed = model(tokens, documents)
    torch.testing.assert_close(packed[:, :7], model(tokens[:, :7]))
    torch.testing.assert_close(packed[:, 7:], model(tokens[:, 7:]), atol=2e-5, rtol=1e-4)


def test_document_mask_by_hand() -> None:
    mask = document_mask(torch.tensor([[0, 0, 1]]))
    expected = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert torch.equal(mask[0, 0], expected)


def test_softcap_bounds_the_logits() -> None:
    model = drawn_gpt(head={"softcap": 0.5, "multiplier": 100.0})
    free = drawn_gpt(head={"multiplier": 100.0})
    tokens = some_tokens(model)
    raw = free.head(free(tokens))
    capped = model.head(model(tokens))
    assert raw.abs().max() > 1
    torch.testing.assert_close(capped, 0.5 * torch.tanh(raw / 0.5))


def test_a_tied_head_shares_the_table() -> None:
    model = drawn_gpt(head={"tied": True})
    assert model.head.weight is model.embedding.weight
    assert drawn_gpt().head.weight is not drawn_gpt().embedding.weight


def test_a_tied_table_does_not_start_at_zero_with_its_head() -> None:
    starts = {
        tied: make_gpt(head={"tied": tied, "zero": True}).roles()["head.weight"].start
        for tied in (False, True)
    }
    assert starts == {False: "zeros", True: "normal"}


def test_zero_head_starts_at_the_uniform_distribution() -> None:
    model = drawn_gpt(head={"zero": True})
    assert model.head(model(some_tokens(model))).abs().max() == 0


def test_rotation_keeps_lengths_and_depends_on_distance_alone() -> None:
    rope = Rope(8, 8, 32, theta=100.0)
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 1, 8, generator=generator) for _ in range(2))
    turned_q, turned_k = (rope.rotate(x.expand(1, 1, 32, 8)) for x in (q, k))
    lengths = q.norm().expand(1, 1, 32)
    torch.testing.assert_close(turned_q.norm(dim=-1), lengths)
    scores = turned_q[0, 0] @ turned_k[0, 0].T
    torch.testing.assert_close(scores.diagonal(-3), scores[3, 0].expand(29), atol=1e-4, rtol=1e-4)
    assert (scores[3, 0] - scores[9, 0]).abs() > 1e-2


def test_norms_match_torch() -> None:
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        RMSNorm(16, eps=1e-6)(x), x / (x.square().mean(-1, True) + 1e-6).sqrt()
    )
    expected = torch.nn.LayerNorm(16, eps=1e-6)(x)
    torch.testing.assert_close(LayerNorm(16, eps=1e-6)(x), expected)


def test_mlps_by_hand() -> None:
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    mlp = SwiGLU(8, expansion=2.0)
    gate = x @ mlp.gate.weight.T
    expected = (gate * gate.sigmoid() * (x @ mlp.up.weight.T)) @ mlp.down.weight.T
    torch.testing.assert_close(mlp(x), expected)
    relu = SquaredReluMLP(8, expansion=2.0)
    expected = (x @ relu.up.weight.T).clamp(min=0) ** 2 @ relu.down.weight.T
    torch.testing.assert_close(relu(x), expected)
    gelu = GeluMLP(8, expansion=2.0)
    inner = torch.nn.functional.gelu(x @ gelu.up.weight.T, approximate="tanh")
    torch.testing.assert_close(gelu(x), inner @ gelu.down.weight.T)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 30}, "model.width must be a multiple of model.head_size"),
        ({"attention": {"queries_per_key": 3}}, "queries_per_key must divide"),
        ({"width": 9, "head_size": 9}, "head_size must be even"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_gpt(**changes)
