from __future__ import annotations

import math

import pytest
import torch

from tests.loss.drawn import draw_logits, draw_targets, of_probability
from windtunnel.loss.confidence_limiting import ConfidenceLimiting, limit, miss_nats
from windtunnel.loss.tokens import plain_nll


@pytest.mark.parametrize(
    ("attempts", "p", "factor"),
    [(256, 1 / 256, 0.58245), (4, 0.25, 0.617143), (16, 0.5, 16 / 65535)],
)
def test_how_far_gradients_are_limited(attempts: int, p: float, factor: float) -> None:
    assert limit(of_probability(p), attempts).item() == pytest.approx(factor, rel=1e-5)
    assert limit(of_probability(p).float(), attempts).item() == pytest.approx(factor, rel=1e-5)


def test_many_attempts_at_their_number() -> None:
    found = limit(of_probability(1e-9), 10**9).item()
    assert found == pytest.approx(1 / (math.e - 1), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_goes_from_one_to_zero(dtype: torch.dtype) -> None:
    nll = torch.tensor([200.0, 50.0, 41.0, 39.0, 1e-9, 0.0], dtype=dtype)
    assert limit(nll, 8).tolist() == pytest.approx([1, 1, 1, 1, 0, 0], abs=1e-6)
    nats = miss_nats(nll, 8).tolist()
    expected = [x - math.log(8) for x in (200, 50, 41, 39)]
    assert nats == pytest.approx([*expected, 0, 0], abs=1e-4)


@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.3, 0.9])
@pytest.mark.parametrize("attempts", [1, 2, 16])
def test_the_value_is_what_all_attempts_miss(p: float, attempts: int) -> None:
    expected = -math.log(-math.expm1(attempts * math.log1p(-p)))
    assert miss_nats(of_probability(p), attempts).item() == pytest.approx(expected, rel=1e-9)


def test_one_attempt_is_cross_entropy() -> None:
    logits, targets = draw_logits(2, 5, 11).requires_grad_(), draw_targets(2, 5)
    nll = plain_nll(logits, targets)
    torch.testing.assert_close(miss_nats(nll, 1), nll)
    slopes = [
        torch.autograd.grad(x.sum(), logits, retain_graph=True)[0] for x in (nll, miss_nats(nll, 1))
    ]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("attempts", [2, 4, 64])
def test_its_gradient_is_that_of_its_value(attempts: int) -> None:
    """And `limit` times that of cross-entropy, as the straight path through it says."""
    logits, targets = draw_logits(1, 4, 11).requires_grad_(), draw_targets(1, 4)
    assert torch.autograd.gradcheck(lambda z: miss_nats(plain_nll(z, targets), attempts), logits)


@pytest.mark.parametrize("attempts", [0, -1, 1.5])
def test_no_attempt_is_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match=r"loss\.attempts must be a whole number.*got"):
        ConfidenceLimiting(attempts=attempts)
