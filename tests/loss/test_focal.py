from __future__ import annotations

import pytest
import torch

from tests.loss.drawn import draw_logits, draw_targets, of_probability
from windtunnel.loss.focal import Focal, focal
from windtunnel.loss.tokens import plain_nll


def test_a_target_of_a_quarter() -> None:
    assert focal(of_probability(0.25), 2.0).item() == pytest.approx(0.779791, abs=1e-6)


def test_without_focus_it_is_cross_entropy() -> None:
    nll = plain_nll(draw_logits(2, 5, 11), draw_targets(2, 5))
    torch.testing.assert_close(focal(nll, 0.0), nll, rtol=0, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_its_gradient_is_that_of_the_formula(gamma: float) -> None:
    logits, targets = draw_logits(1, 4, 11).requires_grad_(), draw_targets(1, 4)
    assert torch.autograd.gradcheck(lambda z: focal(plain_nll(z, targets), gamma), logits)


@pytest.mark.parametrize("gamma", [-1.0, float("nan")])
def test_a_negative_focus_is_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.gamma must not be below 0, got"):
        Focal(gamma=gamma)
