"""VQ-Logits: the identity that saves the logits, the assignments, and what is refused."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.parts import drawn_gpt, make_gpt, some_tokens
from windtunnel.interfaces import IGNORE_INDEX, Batch
from windtunnel.loss.code_cross_entropy import CodeCrossEntropy
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.model.count import parameter_counts
from windtunnel.model.head import LinearHead
from windtunnel.model.head.codes import ByMeans, ByRank, _fill, means
from windtunnel.model.head.vq import VQHead

V, D = 40, 8


def make_vq(tokens_per_code: float, singletons: float = 0.5, **changes: Any) -> VQHead:
    settings: dict[str, Any] = {
        "tokens_per_code": tokens_per_code,
        "assign": ByRank(singletons),
        "zero": False,
        "multiplier": 1.0,
    }
    head = VQHead(D, V, nn.Parameter(torch.empty(V, D)), **settings | changes)
    nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    return head


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tokens_per_code", [1.0, 2.0, 3.7, 8.0, 40.0, 100.0])
def test_a_token_has_its_share_of_the_codes_probability(tokens_per_code: float) -> None:
    head = make_vq(tokens_per_code).double()
    hidden = drawn(3, D).double()
    sizes = head.sizes_K.double()
    codes = (head.code_logits(hidden) + sizes.log()).log_softmax(-1)
    expected = (codes - sizes.log())[:, head.codes_V]
    found = head(hidden).log_softmax(-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(3).double(), rtol=0, atol=1e-12)


def test_as_many_codes_as_tokens_is_the_usual_head() -> None:
    head = make_vq(1.0, multiplier=1.5)
    usual = LinearHead(
        D,
        V,
        nn.Parameter(head.weight.detach()),
        tied=True,
        zero=False,
        softcap=None,
        multiplier=1.5,
    )
    assert head.codes_V.tolist() == list(range(V))
    torch.testing.assert_close(head(drawn(2, 3, D)), usual(drawn(2, 3, D)), rtol=0, atol=0)


@pytest.mark.parametrize("tokens_per_code", [1.0, 4.0, 40.0])
def test_its_loss_is_the_plain_one_without_the_logits(tokens_per_code: float) -> None:
    head = make_vq(tokens_per_code)
    targets = torch.randint(0, V, (3, 5), generator=torch.Generator().manual_seed(2))
    targets[0, :2] = IGNORE_INDEX
    batch = Batch(targets, targets, None, targets[:, 0])
    found = []
    for loss in (CodeCrossEntropy(), CrossEntropy()):
        head.zero_grad()
        hidden = drawn(3, 5, D).requires_grad_()
        output = loss(hidden, head, batch)
        output.loss.backward()
        assert head.weight.grad is not None
        found.append((output.loss, output.nll_BT, hidden.grad, head.weight.grad.clone()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_the_floor_is_what_sharing_costs_at_least() -> None:
    head = make_vq(10.0, singletons=0.0)
    assert head.sizes_K.tolist() == [10, 10, 10, 10]
    targets = torch.zeros(1, 4).long()
    output = CodeCrossEntropy()(drawn(1, 4, D), head, Batch(targets, targets, None, targets[:, 0]))
    assert output.terms["floor"].item() == pytest.approx(math.log(10))
    assert (output.nll_BT >= math.log(10)).all()
    alone = make_vq(2.0, singletons=0.5)
    output = CodeCrossEntropy()(drawn(1, 4, D), alone, Batch(targets, targets, None, targets[:, 0]))
    assert output.terms["floor"].item() == 0


def test_nothing_to_score_costs_nothing() -> None:
    targets = torch.full((1, 2), IGNORE_INDEX)
    batch = Batch(targets.clamp(min=0), targets, None, targets[:, 0])
    output = CodeCrossEntropy()(drawn(1, 2, D), make_vq(4.0), batch)
    assert output.loss == output.terms["floor"] == 0


def test_a_gpt_trains_with_it_and_its_codebook_follows_the_width() -> None:
    head = partial(VQHead, tokens_per_code=4.0, assign=ByRank(0.5), zero=True, multiplier=1.0)
    model = drawn_gpt(head=head)
    assert model.head.weight.shape == (15, 32)
    tokens = some_tokens(model)
    batch = Batch(tokens[:, :-1], tokens[:, 1:], None, tokens[:, 0])
    output = CodeCrossEntropy()(model(tokens[:, :-1]), model.head, batch)
    # Every code is equally probable at the start, so a token that shares one is less so.
    sizes = model.head.sizes_K[model.head.codes_V[batch.targets_BT]]
    # logsumexp_k log n_k = log V: the tokens are equally probable.
    torch.testing.assert_close(output.nll_BT, torch.full_like(output.nll_BT, math.log(61)))
    assert sizes.float().mean() > 1
    output.loss.backward()
    assert drawn_gpt(head=head, width=64).head.scale == 0.5
    counts = parameter_counts(model)
    assert counts["with_head"] - counts["non_embedding"] == 15 * 32
    with torch.device("meta"):
        assert make_gpt(vocab_size=8, head=head).head.weight.shape[0] == 2


# ----------------------------------------------------------------------------------- assignments


@pytest.mark.parametrize(
    ("n_codes", "singletons"), [(40, 0.5), (20, 0.5), (7, 0.3), (1, 0.5), (5, 1.0)]
)
def test_ranks_give_the_first_ids_codes_of_their_own_and_balance_the_rest(
    n_codes: int, singletons: float
) -> None:
    codes = ByRank(singletons)(V, n_codes)
    sizes = torch.bincount(codes, minlength=n_codes)
    n_alone = min(round(singletons * n_codes), n_codes - 1)
    assert codes[:n_alone].tolist() == list(range(n_alone))
    assert (sizes[:n_alone] == 1).all()
    assert sizes[n_alone:].min() >= 1
    assert sizes[n_alone:].max() - sizes[n_alone:].min() <= 1
    assert codes.diff().min() >= 0


def blobs() -> Tensor:
    """30 rows in 5 far groups of 6, after 4 rows elsewhere."""
    groups = 50 * drawn(5, D, seed=3)
    return torch.cat([drawn(4, D, seed=5), groups.repeat_interleave(6, 0) + drawn(30, D, seed=4)])


def test_means_find_groups_and_keep_the_first_ids_alone(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"table": blobs()}}, path)
    codes = ByMeans(str(path), "table", 4 / 9, 20, 0)(34, 9)
    assert codes[:4].tolist() == [0, 1, 2, 3]
    groups = codes[4:].view(5, 6)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0].tolist()) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(("tokens_per_code", "n_codes"), [(16.0, 2), (15.0, 3), (100.0, 1)])
def test_the_number_of_codes_is_the_nearest_whole_one(tokens_per_code: float, n_codes: int) -> None:
    assert len(make_vq(tokens_per_code).weight) == n_codes  # of 40 / 16 = 2.5 and 40 / 15 = 2.67


def test_an_empty_code_takes_no_code_its_last_row() -> None:
    """The second one must not have row 1, which is the last of code 0 by then."""
    codes, distances = torch.tensor([0, 0, 1, 1]), torch.tensor([5.0, 4.0, 1.0, 0.5])
    assert _fill(codes, distances, n_codes=4).tolist() == [2, 0, 3, 1]


def test_no_code_stays_empty() -> None:
    same = torch.ones(10, 3)
    codes = means(same, 10, 3, torch.Generator().manual_seed(0))
    assert sorted(codes.tolist()) == list(range(10))


@pytest.mark.parametrize(
    ("changes", "vocab_size", "message"),
    [
        ({"checkpoint": "nowhere"}, 34, r"there is no file nowhere.*take model/head=vq"),
        ({"table": "other"}, 34, r"holds no other; it holds table"),
        ({}, 35, r"expected a table of 35 tokens, got 34"),
        ({"singletons": 1.5}, 34, r"assign\.singletons .* got 1\.5"),
    ],
)
def test_bad_assignments_are_refused(
    changes: dict[str, Any], vocab_size: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"table": blobs()}}, path)
    settings = {"checkpoint": str(path), "table": "table", "singletons": 0.5, "iterations": 1}
    with pytest.raises(ValueError, match=message):
        ByMeans(**settings | {"seed": 0} | changes)(vocab_size, 9)


def test_more_codes_than_tokens_and_other_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tokens_per_code must be at least 1.*got 0\.5"):
        make_vq(0.5)
    targets = torch.zeros(1, 2).long()
    batch = Batch(targets, targets, None, targets[:, 0])
    with pytest.raises(ValueError, match=r"loss=code_cross_entropy needs .* got Identity"):
        CodeCrossEntropy()(drawn(1, 2, D), nn.Identity(), batch)
