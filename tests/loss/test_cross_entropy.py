from __future__ import annotations

import math

import pytest
import torch

from windtunnel.interfaces import IGNORE_INDEX, Batch
from windtunnel.loss.cross_entropy import CrossEntropy


def scored(targets: torch.Tensor) -> Batch:
    return Batch(torch.zeros_like(targets), targets, None, torch.zeros(len(targets)))


def head(hidden: torch.Tensor) -> torch.Tensor:
    return hidden


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 5, 7), (3, 4, 33)])
def test_equals_the_sum_written_out(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    logits = torch.randn(shape, generator=generator)
    targets = torch.randint(0, shape[2], shape[:2], generator=generator)
    if shape[1] > 1:
        targets[0, 1] = IGNORE_INDEX
    output = CrossEntropy()(logits, head, scored(targets))
    total, n = 0.0, 0
    for b in range(shape[0]):
        for t in range(shape[1]):
            if targets[b, t] == IGNORE_INDEX:
                assert output.nll_BT[b, t] == 0
                continue
            row = logits[b, t].double()
            nll = math.log(sum(math.exp(x) for x in row.tolist())) - row[targets[b, t]].item()
            assert output.nll_BT[b, t].item() == pytest.approx(nll, abs=1e-5)
            total, n = total + nll, n + 1
    assert output.loss.item() == pytest.approx(total / n, abs=1e-5)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    output = CrossEntropy()(torch.zeros(2, 3, 50), head, scored(torch.zeros(2, 3).long()))
    assert output.loss.item() == pytest.approx(math.log(50))


def test_nothing_to_score_costs_nothing() -> None:
    targets = torch.full((1, 2), IGNORE_INDEX)
    assert CrossEntropy()(torch.zeros(1, 2, 4), head, scored(targets)).loss == 0


def test_half_precision_logits_reduce_in_float32() -> None:
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    output = CrossEntropy()(logits, head, scored(torch.ones(2, 3).long()))
    assert output.loss.dtype == output.nll_BT.dtype == torch.float32
