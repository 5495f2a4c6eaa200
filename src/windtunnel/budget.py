"""Steps and evaluations from a budget in tokens."""

from __future__ import annotations

from typing import NamedTuple


class Budget(NamedTuple):
    """steps: optimiser steps. steps_between: steps from one evaluation to the next."""

    steps: int
    steps_between: int
    tokens_per_step: int

    @property
    def tokens(self) -> int:
        return self.steps * self.tokens_per_step


def plan(tokens: int, evaluations: int, tokens_per_step: int) -> Budget:
    """As many whole steps as the tokens allow, so that the last evaluation ends the run.

    Raises:
        ValueError: fewer tokens than one step takes, or more evaluations than steps.
    """
    steps = int(tokens) // tokens_per_step
    if steps < 1:
        raise ValueError(
            f"budget.tokens must allow one batch at least, got {tokens} tokens and batches of "
            f"{tokens_per_step}: raise budget.tokens, or lower batch.sequences or batch.length"
        )
    if not 1 <= evaluations <= steps:
        raise ValueError(
            f"budget.evaluations must lie between 1 and the number of steps, got {evaluations} "
            f"for {steps} steps of {tokens_per_step} tokens: lower it, or raise budget.tokens"
        )
    between = steps // evaluations
    return Budget(between * evaluations, between, tokens_per_step)
