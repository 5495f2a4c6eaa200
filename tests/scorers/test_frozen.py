from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from windtunnel.interfaces import IGNORE_INDEX, Batch, LossOutput
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.scorers.frozen import Frozen
from windtunnel.training import Objective


class Bigram(nn.Module):
    """Logits of the next token are a row of a table; drops half of them while training."""

    def __init__(self, n: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(n, n, generator=generator))
        self.dropout = nn.Dropout(0.5)
        self.documents: Tensor | None = None

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        self.documents = documents_BT
        return self.dropout(self.table[tokens_BT])

    def head(self, hidden_BTD: Tensor) -> Tensor:
        return hidden_BTD


def frozen(**changes: Any) -> tuple[Bigram, Frozen]:
    model = Bigram(7)
    settings = {"length": 5, "masked": False, "device": "cpu", "precision": "32-true", **changes}
    return model, Frozen(Objective(model, CrossEntropy()), **settings)


ROWS = np.array([[0, 3, 2, 6, 1, 5], [4, 4, 0, *[IGNORE_INDEX] * 3]])


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("64-true", 1e-7), ("32-true", 1e-6), ("bf16-mixed", 1e-2), ("bf16-true", 3e-2)],
)
def test_losses_are_those_of_the_table_in_every_precision(precision: Any, tolerance: float) -> None:
    model, scorer = frozen(precision=precision)
    log_p = Bigram(7).table.detach().double().log_softmax(-1).numpy()
    nats = scorer.nats(ROWS)
    known = ([0, 3, 2, 6, 1, 5], [4, 4, 0])
    expected = [[-log_p[a, b] for a, b in pairwise(row)] for row in known]
    assert nats[0] == pytest.approx(expected[0], abs=tolerance)
    assert nats[1, :2] == pytest.approx(expected[1], abs=tolerance)
    assert (nats[1, 2:] == 0).all()
    assert model.table.grad is None


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_of_separate_documents_is_given_one(masked: bool) -> None:
    model, scorer = frozen(masked=masked)
    scorer.nats(ROWS)
    assert (model.documents is not None) == masked
    assert model.documents is None or (model.documents == 0).all()


def test_the_plain_loss_is_scored_whatever_was_minimised() -> None:
    class Doubled(CrossEntropy):
        def __call__(self, hidden_BTD: Tensor, head: Any, batch: Batch) -> LossOutput:
            output = super().__call__(hidden_BTD, head, batch)
            return LossOutput(2 * output.loss, output.nll_BT, {})

    settings: Any = {"length": 5, "masked": False, "device": "cpu", "precision": "32-true"}
    doubled = Frozen(Objective(Bigram(7), Doubled()), **settings)
    assert (doubled.nats(ROWS) == frozen()[1].nats(ROWS)).all()
    assert math.isfinite(doubled.nats(ROWS).sum())


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.precision: expected 64-true, .* got '8-true'"):
        frozen(precision="8-true")
