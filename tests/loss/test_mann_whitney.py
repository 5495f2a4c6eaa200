from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.loss.drawn import batch_of, draw_logits, draw_targets, identity, ignoring
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.mann_whitney import MannWhitney, mann_whitney, pooled


def of_scores(true: Tensor, wrong: Tensor, temperature: float = 1.0) -> float:
    every = [torch.ones_like(scores, dtype=torch.bool).unsqueeze(0) for scores in (true, wrong)]
    return mann_whitney(true.unsqueeze(0), wrong.unsqueeze(0), *every, temperature).item()


def test_two_queries_and_the_area_above_their_curve() -> None:
    true, wrong = torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.5])
    loss = of_scores(true, wrong)
    assert loss == pytest.approx(0.472086, abs=1e-6)
    above = 1 - (true.unsqueeze(1) > wrong).float().mean().item()
    assert above == 0.25
    assert above <= loss / math.log(2) == pytest.approx(0.681076, abs=1e-6)


def written_out(logits: Tensor, targets: Tensor, hard: int, temperature: float) -> float:
    """All positions as one group, pair by pair."""
    rows = [(z, int(y)) for z, y in zip(logits, targets, strict=True) if y != IGNORE_INDEX]
    wrong = []
    for z, y in rows:
        wrong += [z[other].item() for _, other in rows if other != y]
        wrong += sorted((z[v].item() for v in range(len(z)) if v != y), reverse=True)[:hard]
    pairs = [
        math.log1p(math.exp((score - z[y].item()) / temperature))
        for z, y in rows
        for score in wrong
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("hard", [0, 3, 50])
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_equals_its_pairs_written_out(hard: int, temperature: float) -> None:
    logits, targets = draw_logits(2, 5, 11), ignoring(draw_targets(2, 5, n_tokens=4))
    loss = MannWhitney(temperature=temperature, pool=10, hard=hard)
    found = loss(logits.float(), identity, batch_of(targets)).loss.item()
    expected = written_out(logits.flatten(0, 1), targets.flatten(), min(hard, 10), temperature)
    assert found == pytest.approx(expected, rel=1e-5)


def test_groups_are_dealt_over_the_batch_and_padded() -> None:
    """Seven positions in groups of three: 0 3 6, 1 4, 2 5."""
    logits, targets = draw_logits(1, 7, 11), draw_targets(1, 7)
    found = MannWhitney(temperature=1.0, pool=3, hard=1)(
        logits.float(), identity, batch_of(targets)
    ).loss.item()
    total, n = 0.0, 0
    for group in ([0, 3, 6], [1, 4], [2, 5]):
        own = targets[0, group]
        differ = sum(int(a != b) for a in own for b in own)
        n_pairs = len(group) * (differ + len(group))
        total, n = total + n_pairs * written_out(logits[0, group], own, 1, 1.0), n + n_pairs
    assert found == pytest.approx(total / n, rel=1e-5)


def test_a_shift_of_all_logits_changes_nothing_and_of_one_position_something() -> None:
    logits, targets = draw_logits(1, 6, 11).float(), draw_targets(1, 6)
    loss = MannWhitney(temperature=1.0, pool=6, hard=2)
    plain = loss(logits, identity, batch_of(targets)).loss
    torch.testing.assert_close(loss(logits + 3, identity, batch_of(targets)).loss, plain)
    shifted = logits.clone()
    shifted[0, 2] += 3
    assert (loss(shifted, identity, batch_of(targets)).loss - plain).abs() > 0.01


def test_its_gradient_is_that_of_the_formula() -> None:
    logits, targets = draw_logits(2, 3, 7).requires_grad_(), draw_targets(2, 3, n_tokens=7)
    assert torch.autograd.gradcheck(lambda z: mann_whitney(*pooled(z, targets, 2), 0.5), logits)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": 0.0, "pool": 4, "hard": 1}, r"loss\.temperature must be above 0, got 0"),
        ({"temperature": 1.0, "pool": 0, "hard": 5}, r"loss\.pool must be at least 1.*got 0 and 5"),
        ({"temperature": 1.0, "pool": 1, "hard": 0}, r"loss\.pool must be at least 1.*got 1 and 0"),
        ({"temperature": 1.0, "pool": 4, "hard": -1}, r"loss\.hard at least 0.*got 4 and -1"),
    ],
)
def test_a_bad_setting_is_refused(values, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MannWhitney(**values)
