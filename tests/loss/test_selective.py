from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loss.drawn import (
    TinyTeacher,
    batch_of,
    draw_head,
    draw_logits,
    draw_targets,
    identity,
    ignoring,
)
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.loss.selective import Selective, keep_top
from windtunnel.loss.tokens import plain_nll


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.integers(1, 100), st.integers(0, 9))
def test_keeps_exactly_the_share_with_the_largest_excess(n: int, percent: int, seed: int) -> None:
    excess = draw_logits(1, n, seed=seed)
    targets = torch.arange(n).unsqueeze(0)
    targets[:, ::3] = IGNORE_INDEX
    scored = [t for t in range(n) if t % 3]
    n_kept = -(-percent * len(scored) // 100)
    expected = sorted(sorted(scored, key=lambda t: (-excess[0, t].item(), t))[:n_kept])
    kept = keep_top(excess, targets, percent / 100)
    assert (kept[0] != IGNORE_INDEX).nonzero().flatten().tolist() == expected
    assert torch.equal(kept[0, expected], targets[0, expected])


def test_ties_go_to_the_earlier_token() -> None:
    kept = keep_top(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.long), 0.5)
    assert (kept != IGNORE_INDEX).tolist() == [[True, True, True], [False, False, False]]


def test_the_whole_share_is_cross_entropy_to_the_bit() -> None:
    head, targets = draw_head(), ignoring(draw_targets(3, 7))
    hidden = draw_logits(3, 7, 5).float().requires_grad_()
    found, plain = (
        loss(hidden, head, batch_of(targets, draw_targets(3, 7, seed=7)))
        for loss in (Selective(teacher=TinyTeacher(), share=1.0), CrossEntropy())
    )
    assert torch.equal(found.loss, plain.loss)
    assert torch.equal(found.nll_BT, plain.nll_BT)
    grads = [torch.autograd.grad(x.loss, (hidden, head.weight)) for x in (found, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_the_loss_is_the_mean_over_the_tokens_kept_and_the_score_over_all() -> None:
    teacher, logits = TinyTeacher(), draw_logits(2, 10, 11).float().requires_grad_()
    tokens, targets = draw_targets(2, 10, seed=7), ignoring(draw_targets(2, 10))
    output = Selective(teacher=teacher, share=0.4)(logits, identity, batch_of(targets, tokens))
    own, reference = (plain_nll(x, targets).detach() for x in (logits, teacher.table[tokens]))
    scored = targets != IGNORE_INDEX
    n_kept = math.ceil(0.4 * int(scored.sum()))
    chosen = (own - reference)[scored].topk(n_kept).indices
    torch.testing.assert_close(output.loss, own[scored][chosen].mean())
    torch.testing.assert_close(output.terms["excess"], (own - reference)[scored][chosen].mean())
    torch.testing.assert_close(output.nll_BT, own)
    (gradient,) = torch.autograd.grad(output.loss, logits)
    assert int((gradient.abs().sum(-1) > 0).sum()) == n_kept


def test_a_reference_that_is_the_model_itself_changes_no_more_than_the_choice() -> None:
    teacher, tokens = TinyTeacher(), draw_targets(2, 6, seed=7)
    logits = teacher.table[tokens].detach().requires_grad_()
    targets = draw_targets(2, 6)
    output = Selective(teacher=teacher, share=0.5)(logits, identity, batch_of(targets, tokens))
    assert output.terms["excess"].abs() < 1e-6
    torch.testing.assert_close(output.loss, plain_nll(logits, targets)[0].mean())


def test_corrupted_tokens_are_left_out() -> None:
    """A chain that the reference knows, a tenth of the targets replaced, a model that knows it not:
    the half kept holds at most a hundredth of the corrupted ones."""
    generator = torch.Generator().manual_seed(0)
    teacher = TinyTeacher()
    tokens = torch.randint(11, (20, 100), generator=generator)
    truth = teacher.table[tokens].detach().argmax(-1)
    spoilt = torch.rand(truth.shape, generator=generator) < 0.1
    targets = torch.where(spoilt, (truth + 5) % 11, truth)
    uniform = torch.zeros(20, 100, 11)
    batch = batch_of(targets, tokens)
    reference = plain_nll(teacher.table[tokens].detach(), targets)
    kept = keep_top(plain_nll(uniform, targets) - reference, targets, 0.5) != IGNORE_INDEX
    assert int((kept & spoilt).sum()) <= 0.01 * int(spoilt.sum())
    output = Selective(teacher=teacher, share=0.5)(uniform, identity, batch)
    torch.testing.assert_close(output.loss, torch.tensor(math.log(11)))


@pytest.mark.parametrize("share", [0.0, 1.01, -1.0, math.nan])
def test_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.share must lie in \(0, 1\]"):
        Selective(teacher=TinyTeacher(), share=share)
