"""The reference itself, against the definition in float64."""

from __future__ import annotations

import pytest
import torch

from tests.loss.backends.problems import answer, factors, problem, relative
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.logits import logits
from windtunnel.loss.backends.scored import Terms


@pytest.mark.parametrize("terms", [Terms(0.0, 0.0), Terms(0.1, 0.0), Terms(0.0, 0.01)], ids=str)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_values_and_gradients_are_those_of_the_definition(
    terms: Terms, softcap: float | None
) -> None:
    given = problem(23, 31, 7, softcap=softcap, has_bias=True, weighed=True)
    found, (expected, gradients) = logits(given, terms, ""), answer(given, terms)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    torch.testing.assert_close(found.nll_N.double(), expected.nll_N, rtol=1e-5, atol=1e-6)
    if terms != Terms(0.0, 0.0):
        torch.testing.assert_close(found.lse_N.double(), expected.lse_N, rtol=1e-5, atol=1e-6)
    own = torch.autograd.grad(found.loss, factors(given))
    for x, y in zip(own, gradients, strict=True):
        assert relative(x, y) < 1e-5


@pytest.mark.parametrize("terms", [Terms(0.0, 0.0), Terms(0.1, 0.01)], ids=str)
def test_what_is_ignored_has_no_values(terms: Terms) -> None:
    given = problem(23, 31, 7, ignored=0.5)
    found, ignored = logits(given, terms, ""), given.targets_N == IGNORE_INDEX
    assert 0 < ignored.sum() < 23
    assert found.nll_N[ignored].eq(0).all()
    assert found.lse_N[ignored].eq(0).all()
