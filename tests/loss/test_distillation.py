from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.loss.drawn import TinyTeacher, batch_of, draw_logits, draw_targets, identity
from windtunnel.loss.distillation import (
    KullbackLeibler,
    PlackettLuce,
    kullback_leibler,
    plackett_luce,
)
from windtunnel.loss.tokens import plain_nll


@pytest.fixture
def student() -> Tensor:
    return draw_logits(2, 5, 11).requires_grad_()


@pytest.fixture
def teacher() -> Tensor:
    return draw_logits(2, 5, 11, seed=9)


@pytest.fixture
def targets() -> Tensor:
    return draw_targets(2, 5)


# -------------------------------------------------------------------------------- Kullback-Leibler


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_divergence_is_torchs(student: Tensor, teacher: Tensor, temperature: float) -> None:
    found = kullback_leibler(student, teacher, temperature)
    expected = F.kl_div(
        (student / temperature).log_softmax(-1),
        (teacher / temperature).log_softmax(-1),
        reduction="none",
        log_target=True,
    )
    torch.testing.assert_close(found, temperature**2 * expected.sum(-1))
    assert kullback_leibler(teacher, teacher, temperature).abs().max() < 1e-12
    assert torch.autograd.gradcheck(
        lambda s: kullback_leibler(s, teacher[:1, :2], temperature),
        student.detach()[:1, :2].requires_grad_(),
    )


# ----------------------------------------------------------------------------------- Plackett-Luce


def written_out(s: Tensor, t: Tensor, y: int, temperature: float, n_ranked: int) -> Tensor:
    """One token, place by place."""
    rest = sorted((v for v in range(len(s)) if v != y), key=lambda v: -t[v].item())
    ranking, q = [y, *rest], (t / temperature).softmax(0)
    places = [q[v] * (s[ranking[k:]].logsumexp(0) - s[v]) for k, v in enumerate(ranking[:n_ranked])]
    return torch.stack(places).sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize(("top_k", "n_ranked"), [(None, 11), (1, 2), (3, 4), (10, 11), (50, 11)])
def test_the_ranking_is_the_sum_over_its_places(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor,
    temperature: float,
    top_k: int | None,
    n_ranked: int,
) -> None:
    found = plackett_luce(student, teacher, targets, temperature, top_k)
    for b, t in ((0, 0), (0, 4), (1, 2)):
        y = int(targets[b, t])
        expected = written_out(student[b, t], teacher[b, t], y, temperature, n_ranked)
        torch.testing.assert_close(found[b, t], expected)


@pytest.mark.parametrize("top_k", [None, 2])
def test_a_teacher_sure_of_the_target_gives_cross_entropy(
    student: Tensor, targets: Tensor, top_k: int | None
) -> None:
    sure = 1e4 * F.one_hot(targets, 11).double()
    found, nll = plackett_luce(student, sure, targets, 1.0, top_k), plain_nll(student, targets)
    torch.testing.assert_close(found, nll)
    slopes = [torch.autograd.grad(x.sum(), student, retain_graph=True)[0] for x in (found, nll)]
    torch.testing.assert_close(*slopes)


def test_nothing_known_on_either_side_costs_the_logarithm_of_the_rankings() -> None:
    zeros, targets = torch.zeros(1, 1, 11), torch.tensor([[4]])
    found = plackett_luce(zeros, zeros, targets, 1.0, None).item()
    assert found == pytest.approx(math.log(math.factorial(11)) / 11)
    assert found == pytest.approx(1.591119, abs=1e-6)


@pytest.mark.parametrize("top_k", [None, 3])
def test_its_gradient_is_that_of_the_formula_and_shifts_nothing(
    student: Tensor, teacher: Tensor, targets: Tensor, top_k: int | None
) -> None:
    loss = plackett_luce(student, teacher, targets, 1.0, top_k)
    slope = torch.autograd.grad(loss.sum(), student)[0]
    assert slope.sum(-1).abs().max() < 1e-12
    assert torch.autograd.gradcheck(
        lambda s: plackett_luce(s, teacher[:1, :2], targets[:1, :2], 1.0, top_k),
        student.detach()[:1, :2].requires_grad_(),
    )


# ----------------------------------------------------------------------------------------- teacher


def test_the_teacher_is_asked_for_its_tokens_without_dropout_and_learns_nothing() -> None:
    teacher, targets = TinyTeacher().train(), draw_targets(2, 5)
    loss = KullbackLeibler(teacher=teacher, temperature=1.0)
    tokens = draw_targets(2, 5, seed=8)
    same = teacher.table.detach()[tokens].requires_grad_()
    output = loss(same, identity, batch_of(targets, tokens))
    assert output.loss.abs() < 1e-6
    output.loss.backward()
    assert teacher.table.grad is None
    assert not teacher.table.requires_grad


@pytest.mark.parametrize(
    "loss",
    [
        KullbackLeibler(teacher=TinyTeacher(7), temperature=1.0),
        PlackettLuce(teacher=TinyTeacher(7), temperature=1.0, top_k=None),
    ],
)
def test_a_teacher_of_another_vocabulary_is_refused(loss) -> None:
    with pytest.raises(ValueError, match=r"vocabulary of 11 tokens, got one of 7: take a teacher"):
        loss(draw_logits(1, 2, 11).float(), identity, batch_of(draw_targets(1, 2)))


def test_bad_settings_are_refused() -> None:
    for make in (
        lambda t: KullbackLeibler(teacher=TinyTeacher(), temperature=t),
        lambda t: PlackettLuce(teacher=TinyTeacher(), temperature=t, top_k=None),
    ):
        with pytest.raises(ValueError, match=r"loss\.temperature must be above 0, got 0"):
            make(0.0)
    with pytest.raises(ValueError, match=r"loss\.top_k must be at least 1, or null.*got 0"):
        PlackettLuce(teacher=TinyTeacher(), temperature=1.0, top_k=0)
