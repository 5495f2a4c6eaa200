from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.loss.drawn import draw_logits, draw_targets, ignoring
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.dice import SetDice, TokenDice, adjusted, overlap_lost, set_dice, token_dice


@pytest.mark.parametrize(
    ("alpha", "y", "p", "loss"),
    [(1, 1, 0.5, 1 / 3), (1, 1, 1, 1 / 2), (1, 0, 0.5, 0.2), (1, 0, 1, 0),
     (0, 1, 0.5, 0.2), (0, 1, 1, 0)],
)  # fmt: skip
def test_one_prediction(alpha: float, y: float, p: float, loss: float) -> None:
    w = adjusted(torch.tensor(p, dtype=torch.float64), alpha)
    assert overlap_lost(w * y, w, torch.tensor(y), 1.0).item() == pytest.approx(loss)


def each(logits: Tensor, targets: Tensor, alpha: float) -> list[list[tuple[float, float]]]:
    """(w, y) of every scored token and every entry of the vocabulary."""
    return [
        [
            ((1 - p) ** alpha * p, float(v == targets[b, t]))
            for v, p in enumerate(logits[b, t].softmax(0).tolist())
        ]
        for b, t in (targets != IGNORE_INDEX).nonzero().tolist()
    ]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_by_token_and_as_a_set_are_their_sums_written_out(alpha: float) -> None:
    logits, targets, gamma = draw_logits(2, 5, 11), ignoring(draw_targets(2, 5)), 0.7
    rows = each(logits, targets, alpha)
    by_token = [sum(1 - (2 * w * y + gamma) / (w + y + gamma) for w, y in row) for row in rows]
    found = token_dice(logits, targets, alpha, gamma)[targets != IGNORE_INDEX]
    assert found.tolist() == pytest.approx(by_token)
    as_set = 0.0
    for column in zip(*rows, strict=True):
        both, w, y = (
            sum(values) for values in zip(*((w * y, w, y) for w, y in column), strict=True)
        )
        as_set += (1 - (2 * both + gamma) / (w + y + gamma)) / 11
    assert set_dice(logits, targets, alpha, gamma).item() == pytest.approx(as_set)


@pytest.mark.parametrize("dice", [token_dice, set_dice])
def test_its_gradient_is_that_of_the_formula(dice) -> None:
    logits, targets = draw_logits(1, 3, 7).requires_grad_(), draw_targets(1, 3, n_tokens=7)
    assert torch.autograd.gradcheck(lambda z: dice(z, targets, 0.3, 1.0), logits)


@pytest.mark.parametrize("loss", [TokenDice, SetDice])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alpha": -1.0, "gamma": 1.0}, r"loss\.alpha must not be below 0, got -1"),
        ({"alpha": 0.0, "gamma": 0.0}, r"loss\.gamma must be above 0, got 0"),
    ],
)
def test_a_bad_setting_is_refused(loss, values: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loss(**values)
