"""Made-up records, so that studies and reports are tested without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from windtunnel.interfaces import Curve, Evaluation, Job, Record

VOCABULARY, DEPTH = 1024, 4


def sizes(width: int) -> dict[str, int]:
    """Parameter counts of a plain GPT with a tied table, by convention."""
    inside = DEPTH * 12 * width**2 + (2 * DEPTH + 1) * width
    table = VOCABULARY * width
    return {"total": inside + table, "non_embedding": inside, "with_head": inside + table}


def made_record(job: Job, loss: float | None, **changes: Any) -> Record:
    """The record that `job` could have left; without a loss it diverged at step 7."""
    counts = sizes(job.overrides["model.width"])
    tokens = job.overrides.get("budget.tokens", 1_000_000)
    per_token = 6.0 * counts["with_head"]
    values: dict[str, Any] = {
        "job": f"digest-{job.name}",
        "name": job.name,
        "task": "train",
        "role": job.role,
        "outcome": "diverged" if loss is None else "finished",
        "outcome_step": 7 if loss is None else tokens // 4096,
        "outcome_reason": "loss is not finite" if loss is None else "",
        "seed": job.overrides["seed"],
        "config": {},
        "parameters": counts,
        "train_flops": dict.fromkeys(
            ("kaplan", "head_counted", "causal_attention", "palm"), per_token * tokens
        ),
        "tokens": tokens,
        "steps": tokens // 4096,
        "evaluation": None
        if loss is None
        else Evaluation(loss_nats=loss, bits_per_byte=loss / 3 / math.log(2), n_tokens=100_000),
        "train_curve": Curve([4096], [math.log(VOCABULARY)]),
        "eval_curve": Curve(),
        "grad_norm_curve": Curve(),
        "seconds": job.overrides["model.width"] / 4,
        "tokens_per_second": 1e5,
        "mfu": None,
        "peak_memory_bytes": 10**9,
        "choices": {},
        "data": {},
        "table": [],
        "measurements": {},
        "inputs": [],
        "versions": {},
        "git": {},
        "warnings": [],
    }
    return Record(**(values | changes))


def made_records(
    jobs: Sequence[Job], loss: Callable[[Job], float | None], **changes: Any
) -> dict[str, Record]:
    """One record per job, by its name."""
    return {job.name: made_record(job, loss(job), **changes) for job in jobs}


class Kept:
    """A report that keeps what it was given."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}

    def __call__(self, result: dict[str, Any], folder: Any) -> None:
        self.result = result
