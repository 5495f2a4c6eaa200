from __future__ import annotations

import math

import pytest
import torch

from tests.loss.drawn import draw_logits, draw_targets, of_probability
from windtunnel.loss.comp_sum import CompSum, comp_sum
from windtunnel.loss.tokens import plain_nll


@pytest.mark.parametrize(
    ("tau", "loss"), [(0.0, 3.0), (0.5, 2.0), (1.0, 1.386294), (1.5, 1.0), (2.0, 0.75)]
)
def test_a_target_of_a_quarter(tau: float, loss: float) -> None:
    assert comp_sum(of_probability(0.25), tau).item() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.3, 2.0])
def test_equals_the_sum_over_wrong_tokens(tau: float) -> None:
    logits, targets = draw_logits(2, 5, 11), draw_targets(2, 5)
    own = logits.gather(-1, targets.unsqueeze(-1))
    u = (logits - own).exp().sum(-1) - 1
    expected = ((1 + u) ** (1 - tau) - 1) / (1 - tau)
    torch.testing.assert_close(comp_sum(plain_nll(logits, targets), tau), expected)


@pytest.mark.parametrize("tau", [1.0, 1 - 1e-7, 1 + 1e-7])
def test_at_one_it_is_cross_entropy(tau: float) -> None:
    nll = plain_nll(draw_logits(2, 5, 11), draw_targets(2, 5))
    torch.testing.assert_close(comp_sum(nll, tau), nll, rtol=0, atol=0)
    torch.testing.assert_close(comp_sum(nll, tau + 1e-4), nll, rtol=0, atol=1e-2)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.7, 2.0])
def test_its_gradient_is_cross_entropys_times_a_power_of_p(tau: float) -> None:
    logits, targets = draw_logits(1, 4, 11).requires_grad_(), draw_targets(1, 4)
    nll = plain_nll(logits, targets)
    weighted = (-nll.detach()).exp() ** (tau - 1) * nll
    slopes = [
        torch.autograd.grad(x.sum(), logits, retain_graph=True)[0]
        for x in (comp_sum(nll, tau), weighted)
    ]
    torch.testing.assert_close(*slopes)
    assert torch.autograd.gradcheck(lambda z: comp_sum(plain_nll(z, targets), tau), logits)


@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_a_target_that_would_overflow_still_pulls(tau: float) -> None:
    edge = 60 / (1 - tau)
    nll = torch.tensor([edge - 1e-3, edge + 1e-3, 1e4], requires_grad=True)
    loss = comp_sum(nll, tau)
    slope = torch.autograd.grad(loss.sum(), nll)[0]
    assert loss.isfinite().all()
    assert loss[0] < loss[1] < loss[2]
    assert slope.tolist() == pytest.approx([math.exp(60)] * 3, rel=2e-3)


@pytest.mark.parametrize("tau", [-0.1, 2.1, float("nan")])
def test_a_tau_outside_of_its_range_is_refused(tau: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.tau must lie in 0 \.\. 2, got"):
        CompSum(tau=tau)
