from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.loss.drawn import draw_logits, draw_targets
from windtunnel.loss.gem import LinearGem, LogSigmoidGem, linear_gem, log_sigmoid_gem
from windtunnel.loss.tokens import plain_nll


@pytest.fixture
def logits() -> Tensor:
    return draw_logits(2, 5, 11).requires_grad_()


@pytest.fixture
def targets() -> Tensor:
    return draw_targets(2, 5)


@pytest.mark.parametrize("beta", [0.1, 0.7, 1.0])
def test_the_linear_gradient_is_q_less_the_target(
    logits: Tensor, targets: Tensor, beta: float
) -> None:
    slope = torch.autograd.grad(linear_gem(logits, targets, beta).sum(), logits)[0]
    q = (logits.detach() / beta).softmax(-1)
    torch.testing.assert_close(slope, q - F.one_hot(targets, 11))


def test_at_one_it_has_cross_entropys_gradient_and_less_its_entropy(
    logits: Tensor, targets: Tensor
) -> None:
    loss, nll = linear_gem(logits, targets, 1.0), plain_nll(logits, targets)
    slopes = [torch.autograd.grad(x.sum(), logits, retain_graph=True)[0] for x in (loss, nll)]
    torch.testing.assert_close(*slopes)
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(loss, nll - entropy)


def test_a_target_that_leads_is_left_alone_for_small_beta(logits: Tensor) -> None:
    best = logits.argmax(-1)
    slope = torch.autograd.grad(linear_gem(logits, best, 0.005).sum(), logits)[0]
    assert slope.abs().max() < 1e-6


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_the_log_sigmoid_form_is_the_sum_written_out(
    logits: Tensor, targets: Tensor, scale: float
) -> None:
    loss = log_sigmoid_gem(logits, targets, 0.7, scale)
    slope = torch.autograd.grad(loss.sum(), logits)[0]
    log_p = logits.detach().log_softmax(-1)
    for b, t in ((0, 0), (1, 3)):
        y, z = int(targets[b, t]), logits[b, t].detach()
        q = (z / 0.7).softmax(0)
        w = 1 / (1 + (scale * (z[y] - z)).exp())
        expected = -sum(q[j] * w[j] * (log_p[b, t, y] - log_p[b, t, j]) for j in range(11))
        torch.testing.assert_close(loss[b, t], expected)
        analytic = q * w - F.one_hot(targets[b, t], 11) * (q * w).sum()
        torch.testing.assert_close(slope[b, t], analytic)


@pytest.mark.parametrize("beta", [0.0, -1.0, 1.1, float("nan")])
def test_a_beta_outside_of_its_range_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.beta must lie above 0 and at most at 1, got"):
        LinearGem(beta=beta)
    with pytest.raises(ValueError, match=r"loss\.beta must lie above 0 and at most at 1, got"):
        LogSigmoidGem(beta=beta, scale=0.01)
