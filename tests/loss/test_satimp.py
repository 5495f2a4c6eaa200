from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.loss.drawn import batch_of, draw_logits, draw_targets, identity, ignoring, of_probability
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.loss.satimp import SatImp, weight


@pytest.mark.parametrize(("beta_2", "most"), [(0.1, 0.98039), (1.0, 0.83333)])
def test_what_weighs_most(beta_2: float, most: float) -> None:
    p = torch.linspace(1e-6, 1 - 1e-6, 1_000_001, dtype=torch.float64)
    assert p[weight(-p.log(), 5.0, beta_2).argmax()].item() == pytest.approx(most, abs=1e-5)


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_the_parts_of_the_weight(p: float) -> None:
    """SimSat and SimImp are its limits, as is no weight at all."""
    assert weight(of_probability(p), 5.0, 0.0).item() == pytest.approx(p**5)
    assert weight(of_probability(p), 0.0, 0.1).item() == pytest.approx((1 - p) ** 0.1)
    assert weight(of_probability(p), 0.0, 0.0).item() == 1


def test_without_weights_it_ascends_on_cross_entropy() -> None:
    logits, targets = draw_logits(2, 5, 11).float(), ignoring(draw_targets(2, 5))
    loss = SatImp(beta_1=0.0, beta_2=0.0, forget_domains=[0], retain=1.0)
    plain = CrossEntropy()(logits, identity, batch_of(targets)).loss
    torch.testing.assert_close(loss(logits, identity, batch_of(targets)).loss, -plain)


@pytest.mark.parametrize(("beta_1", "beta_2"), [(5.0, 0.1), (2.0, 0.0), (0.0, 2.0)])
def test_its_gradient_is_that_of_cross_entropy_weighted(beta_1: float, beta_2: float) -> None:
    logits, targets = draw_logits(2, 5, 11).float().requires_grad_(), draw_targets(2, 5)
    loss = SatImp(beta_1=beta_1, beta_2=beta_2, forget_domains=[0], retain=1.0)
    output = loss(logits, identity, batch_of(targets))
    slope = torch.autograd.grad(output.loss, logits)[0]
    p = logits.detach().softmax(-1)
    own = p.gather(-1, targets.unsqueeze(-1))
    expected = -(own**beta_1) * (1 - own) ** beta_2 * (p - F.one_hot(targets, 11)) / 10
    torch.testing.assert_close(slope, expected)


def test_domains_are_forgotten_or_retained() -> None:
    logits, targets = draw_logits(4, 3, 11).float(), draw_targets(4, 3)
    targets[2, 1] = IGNORE_INDEX
    batch = batch_of(targets)._replace(domains_B=torch.tensor([0, 1, 2, 3]))
    loss = SatImp(beta_1=1.0, beta_2=0.5, forget_domains=[0, 3], retain=0.1)
    output = loss(logits, identity, batch)
    nll = output.nll_BT
    forgotten = (weight(nll, 1.0, 0.5) * nll)[[0, 3]].mean()
    retained = nll[[1, 2]].sum() / 5
    torch.testing.assert_close(output.terms["forget"], -forgotten)
    torch.testing.assert_close(output.terms["retain"], retained)
    torch.testing.assert_close(output.loss, 0.1 * retained - forgotten)


GOOD: dict[str, Any] = {"beta_1": 5.0, "beta_2": 0.1, "forget_domains": [0], "retain": 0.1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"beta_1": -1.0}, r"loss\.beta_1 must not be below 0, got -1"),
        ({"beta_2": -1.0}, r"loss\.beta_2 must not be below 0, got -1"),
        ({"retain": -1.0}, r"loss\.retain must not be below 0, got -1"),
        ({"forget_domains": []}, r"loss\.forget_domains must hold indices.*got \[\]"),
        ({"forget_domains": [0, -1]}, r"loss\.forget_domains must hold indices.*got \[0, -1\]"),
    ],
)
def test_a_bad_setting_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SatImp(**GOOD | values)
