from __future__ import annotations

import math

import pytest
import torch

from windtunnel.evaluation import DomainLoss
from windtunnel.interfaces import IGNORE_INDEX


def test_means_by_domain_and_overall() -> None:
    metric = DomainLoss(["a", "b", "unseen"], {"a": 2.0, "b": 4.0, "unseen": 1.0}, 3.0)
    nll = torch.tensor([[1.0, 2.0], [3.0, 0.0], [5.0, 7.0]])
    targets = torch.tensor([[4, 4], [4, IGNORE_INDEX], [4, 4]])
    domains = torch.tensor([0, 0, 1])
    for row in range(3):  # the sums do not depend on how rows are batched
        here = slice(row, row + 1)
        metric.update(nll[here], targets[here], domains[here])
    evaluation = metric.evaluation()
    assert evaluation.n_tokens == 5
    assert evaluation.loss_nats == pytest.approx(18 / 5)
    assert evaluation.bits_per_byte == pytest.approx(18 / 5 / 3 / math.log(2))
    assert set(evaluation.domains) == {"a", "b"}
    assert evaluation.domains["a"]["loss_nats"] == pytest.approx(2.0)
    assert evaluation.domains["b"]["loss_nats"] == pytest.approx(6.0)
    assert evaluation.domains["b"]["bits_per_byte"] == pytest.approx(6 / 4 / math.log(2))


def test_two_devices_add_their_sums() -> None:
    """Devices that saw unequal shares give, reduced, the mean over all tokens."""
    whole, one, other = (DomainLoss(["a"], {"a": 1.0}, 1.0) for _ in range(3))
    nll = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
    targets, domains = torch.ones(3, 2, dtype=torch.long), torch.zeros(3, dtype=torch.long)
    whole.update(nll, targets, domains)
    one.update(nll[:1], targets[:1], domains[:1])
    other.update(nll[1:], targets[1:], domains[1:])
    for name in ("nats_S", "tokens_S"):
        stacked = torch.stack([getattr(one, name), getattr(other, name)])
        setattr(one, name, one._reductions[name](stacked))
    assert one.evaluation() == whole.evaluation()
    assert one.evaluation().loss_nats == pytest.approx(4.0)


def test_nothing_scored_is_not_a_number() -> None:
    metric = DomainLoss(["a"], {"a": 1.0}, 1.0)
    metric.update(torch.zeros(1, 2), torch.full((1, 2), IGNORE_INDEX), torch.zeros(1).long())
    assert math.isnan(metric.evaluation().loss_nats)
