from __future__ import annotations

import math

import pytest
import torch

from tests.loss.drawn import draw_logits, draw_targets
from windtunnel.loss.z_loss import z_loss


def test_equal_logits_cost_the_squared_logarithm_of_the_vocabulary() -> None:
    targets = draw_targets(2, 3, n_tokens=50)
    assert z_loss(torch.zeros(2, 3, 50), targets).item() == pytest.approx(math.log(50) ** 2)


def test_a_shift_of_all_logits_costs_what_the_square_says() -> None:
    logits, targets, k = draw_logits(2, 5, 11), draw_targets(2, 5), 3.0
    risen = z_loss(logits + k, targets) - z_loss(logits, targets)
    torch.testing.assert_close(risen, 2 * k * logits.logsumexp(-1).mean() + k**2)


def test_the_gradient_of_a_row_sums_to_twice_its_normaliser() -> None:
    logits, targets = draw_logits(2, 5, 11).requires_grad_(), draw_targets(2, 5)
    slope = torch.autograd.grad(z_loss(logits, targets), logits)[0]
    torch.testing.assert_close(slope.sum(-1), 2 * logits.detach().logsumexp(-1) / 10)
    assert torch.autograd.gradcheck(lambda z: z_loss(z, targets), logits)
