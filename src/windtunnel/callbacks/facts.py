"""What a job knows about itself before training starts; every callback and logger is given it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JobFacts:
    """Facts of one job, known once its model and data are built.

    job: digest of its configuration. parameters: N by counting convention. flops_per_token: FLOPs
    of one training token by convention. tokens_per_step: tokens of one optimiser step over all
    devices. The other fields go into the record as they are, so they hold plain types only.
    """

    job: str
    name: str
    task: str
    role: str
    seed: int
    config: dict[str, Any]
    parameters: dict[str, int]
    flops_per_token: dict[str, float]
    total_tokens: int
    tokens_per_step: int
    table: list[dict[str, Any]]
    choices: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    git: dict[str, Any]
    inputs: list[str]
    warnings: list[str]
    folder: Path
    checkpoint: Path

    @property
    def total_steps(self) -> int:
        """Optimiser steps that the token budget gives."""
        return -(-self.total_tokens // self.tokens_per_step)

    def flops(self, tokens: int) -> dict[str, float]:
        """FLOPs of training on `tokens` tokens, by convention."""
        return {name: each * tokens for name, each in self.flops_per_token.items()}
