from __future__ import annotations

import pytest

from windtunnel.budget import plan


def test_whole_steps_that_end_with_an_evaluation() -> None:
    budget = plan(10_050, 3, 100)
    assert budget.steps == 99
    assert budget.steps_between == 33
    assert budget.tokens == 9_900
    assert plan(1e4, 1, 100).steps == 100


@pytest.mark.parametrize(
    ("tokens", "evaluations", "message"),
    [
        (99, 1, r"budget\.tokens must allow one batch"),
        (1000, 11, r"budget\.evaluations must lie between 1"),
        (1000, 0, r"budget\.evaluations must lie between 1"),
    ],
)
def test_impossible_budgets_are_refused(tokens: int, evaluations: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(tokens, evaluations, 100)
