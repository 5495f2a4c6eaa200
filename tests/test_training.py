"""What the training step and the evaluation step hand to the objective."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from windtunnel.evaluation import DomainLoss
from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.training import LanguageModelling, Objective


class Model(nn.Module):
    """A table of two rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2, 4)
        self.head = nn.Identity()

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        return self.table(tokens_BT)


class Seen:
    """A loss that remembers whether it might make gradients."""

    def __init__(self) -> None:
        self.may_differentiate: list[bool] = []

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        self.may_differentiate.append(torch.is_grad_enabled() and hidden_BTD.requires_grad)
        return LossOutput(hidden_BTD.sum(), hidden_BTD.sum(-1), {})


@pytest.mark.parametrize("compiled", [False, True])
def test_evaluation_makes_gradients_only_where_it_runs_the_compiled_graph(compiled: bool) -> None:
    seen = Seen()
    objective = Objective(Model(), seen)
    if compiled:
        objective.compile(backend="eager")
    metric = DomainLoss(["all"], {"all": 1.0}, 1.0)
    module = LanguageModelling(objective, lambda: None, lambda step: 1.0, metric, 1.0, 10)  # type: ignore[arg-type]
    tokens_BT = torch.zeros(1, 3, dtype=torch.long)
    with torch.no_grad():
        module.validation_step(Batch(tokens_BT, tokens_BT, None, tokens_BT[:, 0]), 0)
    assert seen.may_differentiate == [compiled]
