from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.loss.drawn import WIDTH, batch_of, draw_head, draw_logits, draw_targets
from windtunnel.loss.adversarial import AdversarialMargins, margin_gain
from windtunnel.loss.comp_sum import CompSum
from windtunnel.loss.composed import Composed

LONG = 400  # steps of the power method, until it has converged


def gains(weight: Tensor, targets: Tensor) -> Tensor:
    """Largest singular value of the matrix that moves the margins, by its full decomposition."""
    return torch.stack([torch.linalg.svdvals(weight[y] - weight)[0] for y in targets.flatten()])


def test_the_gain_is_the_largest_singular_value() -> None:
    weight, targets = draw_logits(11, 5), draw_targets(1, 6)
    found = margin_gain(weight, targets, LONG)
    torch.testing.assert_close(found.flatten(), gains(weight, targets))


def test_a_few_steps_are_near_it_from_below() -> None:
    weight, targets = draw_logits(300, 20), draw_targets(1, 20, n_tokens=300)
    share = margin_gain(weight, targets, 4).flatten() / gains(weight, targets)
    assert share.max() <= 1 + 1e-9
    assert share.min() > 0.97


def test_no_attack_in_the_ball_does_better() -> None:
    """The definition: margins under perturbations of the hidden state, drawn on the sphere."""
    head, targets = draw_head(), draw_targets(1, 1)
    hidden = draw_logits(1, 1, WIDTH, seed=4).float()
    loss = AdversarialMargins(radius=0.2, iterations=LONG)(hidden, head, batch_of(targets)).loss
    directions = torch.randn(20_000, WIDTH, generator=torch.Generator().manual_seed(0))
    moved = 0.2 * hidden.norm() * torch.nn.functional.normalize(directions, dim=-1)

    def margins(states: Tensor) -> Tensor:
        logits = head(states)
        return logits[..., targets[0, 0], None] - logits

    reached = (margins(hidden[0] + moved) - margins(hidden[0])).norm(dim=-1).max()
    assert 0.97 * loss.item() < reached.item() <= loss.item() * (1 + 1e-5)


def test_its_gradient_is_that_of_the_singular_value() -> None:
    weight, targets = draw_logits(7, 4).requires_grad_(), draw_targets(1, 3, n_tokens=7)
    ours = torch.autograd.grad(margin_gain(weight, targets, LONG).sum(), weight)[0]
    theirs = torch.autograd.grad(gains(weight, targets).sum(), weight)[0]
    torch.testing.assert_close(ours, theirs)


def test_a_head_at_zero_has_no_gain_and_no_gradient() -> None:
    weight = torch.zeros(7, 4, requires_grad=True)
    gain = margin_gain(weight, draw_targets(1, 3, n_tokens=7), 4)
    assert gain.max() < 1e-15
    assert torch.autograd.grad(gain.sum(), weight)[0].eq(0).all()


@pytest.mark.parametrize(("nu", "radius"), [(0.0, 0.1), (0.3, 0.0)])
def test_without_an_adversary_the_main_loss_is_left(nu: float, radius: float) -> None:
    head, targets = draw_head(), draw_targets(2, 4)
    hidden = draw_logits(2, 4, WIDTH).float()
    margins = AdversarialMargins(radius=radius, iterations=4)
    whole = Composed(
        main=CompSum(tau=1.5), auxiliaries={"adversarial": {"weight": nu, "loss": margins}}
    )
    plain = CompSum(tau=1.5)(hidden, head, batch_of(targets)).loss
    torch.testing.assert_close(whole(hidden, head, batch_of(targets)).loss, plain)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"radius": -0.1, "iterations": 4}, r"loss\.radius must not be below 0, got -0.1"),
        ({"radius": 0.1, "iterations": 0}, r"loss\.iterations must be at least 1, got 0"),
    ],
)
def test_a_bad_setting_is_refused(values, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AdversarialMargins(**values)


def test_a_head_whose_margins_do_not_move_linearly_is_refused() -> None:
    head = draw_head()
    head.softcap = 3.0
    loss = AdversarialMargins(radius=0.1, iterations=4)
    with pytest.raises(ValueError, match=r"needs a head without softcap.*got 3\.0"):
        loss(draw_logits(1, 2, WIDTH).float(), head, batch_of(draw_targets(1, 2)))
