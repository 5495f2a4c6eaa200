from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from tests.callbacks.softmax import D, Rows, V, some_batch
from tests.model.parts import drawn_gpt
from windtunnel.callbacks.slopes import logit_spread
from windtunnel.interfaces import IGNORE_INDEX, Batch
from windtunnel.model.attention import softmax
from windtunnel.model.head.elementwise import Blocked, manhattan
from windtunnel.model.head.harmonic import HarmonicHead
from windtunnel.model.head.product import Cosine, Euclid


def direction(model: Any, seed: int = 5) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=draw, dtype=p.dtype) for p in model.parameters()]


def weights(model: Any) -> list[Tensor]:
    return [p.detach() for p in model.parameters()]


def by_differences(model: Any, along: list[Tensor], batch: Batch, h: float) -> Tensor:
    """The same by logits a little before and behind."""

    def logits_at(t: float) -> Tensor:
        names = [name for name, _ in model.named_parameters()]
        moved = [w + t * v for w, v in zip(weights(model), along, strict=True)]
        state = dict(zip(names, moved, strict=True))
        hidden = functional_call(model, state, (batch.tokens_BT, batch.documents_BT))
        if model.head.weight is model.embedding.weight:
            state["head.weight"] = state["embedding.weight"]
        own = {n.removeprefix("head."): w for n, w in state.items() if n.startswith("head.")}
        return functional_call(model.head, own, (hidden,))

    with torch.no_grad():
        slope = (logits_at(h) - logits_at(-h)) / (2 * h)
    slope = slope[batch.targets_BT != IGNORE_INDEX]
    return (slope.amax(-1) - slope.amin(-1)).max()


def test_of_a_linear_model_it_is_known_in_closed_form() -> None:
    """a = dW h, exactly."""
    model, batch = Rows(), some_batch(0)
    (along,) = direction(model)
    hidden = model.table[batch.tokens_BT[batch.targets_BT != IGNORE_INDEX]]
    slope = hidden @ along.T
    expected = (slope.amax(-1) - slope.amin(-1)).max()
    for chunk in (1, 3, 1000):
        found = logit_spread(model, weights(model), [along], batch, chunk)
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_shift_of_all_logits_and_ignored_tokens_add_nothing() -> None:
    model, batch = Rows(), some_batch(0)
    (along,) = direction(model)
    plain = logit_spread(model, weights(model), [along], batch, 8)
    shifted = along + torch.randn(1, D, generator=torch.Generator().manual_seed(1))
    moved = logit_spread(model, weights(model), [shifted], batch, 8)
    assert moved.item() == pytest.approx(plain.item(), rel=1e-5)
    alone = Batch(*(x[:1, :1] if x is not None and x.ndim == 2 else x for x in batch))
    assert logit_spread(model, weights(model), [along], alone, 8).item() == 0


HEADS = {
    "linear": {},
    "tied": {"tied": True},
    "softcap": {"softcap": 2.0},
    "euclid": partial(HarmonicHead, tied=False, exponent=3.0, growth=0.0, exponent_on="d",
                      distance=partial(Euclid, eps=1e-4)),
    "cosine": partial(HarmonicHead, tied=False, exponent=3.0, growth=0.0, exponent_on="d",
                      distance=partial(Cosine, eps=1e-4)),
    "manhattan": partial(HarmonicHead, tied=False, exponent=3.0, growth=0.0, exponent_on="d",
                         distance=partial(Blocked, between=manhattan, eps=1e-4, block=10**5)),
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kernel", [False, True])
def test_of_a_transformer_it_equals_finite_differences(
    monkeypatch: pytest.MonkeyPatch, head: str, kernel: bool
) -> None:
    if kernel:  # torch's fused attention, which has no forward mode of its own
        monkeypatch.setattr(softmax, "SHORT", 0)
    model: Any = drawn_gpt(head=HEADS[head]).double()
    batch = some_batch(0, n=2, length=model.length, vocab=model.vocab_size)
    along = direction(model)
    found = logit_spread(model, weights(model), along, batch, chunk=7)
    # A softcap is taken in float32, whose differences are coarser.
    expected = by_differences(model, along, batch, h=1e-4 if head == "softcap" else 1e-6)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_masked_transformer_with_dropout_is_left_in_training_and_unchanged() -> None:
    model: Any = drawn_gpt(dropout=0.5)
    batch = some_batch(0, n=2, length=model.length, vocab=model.vocab_size)
    batch = batch._replace(documents_BT=(batch.tokens_BT > 30).long().cumsum(-1))
    before, along = [w.clone() for w in weights(model)], direction(model)
    model.train()
    found = [logit_spread(model, before, along, batch, 100).item() for _ in range(2)]
    assert found[0] == found[1] > 0  # nothing is drawn
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_it_grows_in_proportion_to_the_direction() -> None:
    model, batch = Rows(), some_batch(0)
    (along,) = direction(model)
    one = logit_spread(model, weights(model), [along], batch, V)
    ten = logit_spread(model, weights(model), [10 * along], batch, V)
    assert ten.item() == pytest.approx(10 * one.item(), rel=1e-6)
