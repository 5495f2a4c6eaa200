"""The members of a study: its jobs beside the records they left.

A member is usable when its job finished with a finite held-out loss. A diverged member is kept in
every table and left out of every fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windtunnel.interfaces import Job, Record

# The names that `model/count.py` gives; a test holds both lists equal.
N_CONVENTIONS = ("total", "non_embedding", "with_head")
FLOPS_CONVENTIONS = ("kaplan", "head_counted", "causal_attention", "palm")

ENDED = ("finished", "diverged")  # outcomes after which a job needs no more work

Row = dict[str, Any]


def has_ended(record: Record | None) -> bool:
    """Tells whether a job needs no more work: it finished or diverged."""
    return record is not None and record.outcome in ENDED


def missing(jobs: Sequence[Job], records: Mapping[str, Record]) -> list[Job]:
    """Jobs that have still to run, in their order."""
    return [job for job in jobs if not has_ended(records.get(job.name))]


def held_out_loss(record: Record | None) -> float | None:
    """Held-out loss in nats per token, or None where the job left none that can be fitted."""
    if record is None or record.outcome != "finished" or record.evaluation is None:
        return None
    loss = record.evaluation.loss_nats
    return loss if math.isfinite(loss) else None


def row(job: Job, record: Record | None, *, n_convention: str, flops_convention: str) -> Row:
    """One line of the study's table, in values that JSON can hold."""
    line: Row = {
        "job": job.name,
        "role": job.role,
        "width": job.overrides["model.width"],
        "seed": job.overrides["seed"],
        "outcome": "missing" if record is None else record.outcome,
        "loss": held_out_loss(record),
    }
    if record is None:
        return line
    evaluation = record.evaluation if line["loss"] is not None else None
    return line | {
        "outcome_step": record.outcome_step,
        "outcome_reason": record.outcome_reason,
        "n": record.parameters[n_convention],
        "parameters": dict(record.parameters),
        "tokens": record.tokens,
        "bits_per_byte": None if evaluation is None else evaluation.bits_per_byte,
        "flops": record.train_flops[flops_convention],
        "seconds": record.seconds,
    }


def usable(rows: Iterable[Row]) -> list[Row]:
    """Rows that hold a loss."""
    return [line for line in rows if line["loss"] is not None]


def left_out(rows: Iterable[Row]) -> list[str]:
    """What was left out of the fit and why, one sentence per member."""
    return [
        f"{line['job']} was left out: {line['outcome']}"
        + (f" at step {line['outcome_step']}" if line["outcome"] == "diverged" else "")
        for line in rows
        if line["loss"] is None
    ]


def mean_loss(rows: Iterable[Row]) -> float | None:
    """Mean held-out loss in nats per token over rows that have one, or None."""
    losses = [line["loss"] for line in rows if line["loss"] is not None]
    return math.fsum(losses) / len(losses) if losses else None


def by(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """Rows gathered under the value of one column, smallest first."""
    groups: dict[Any, list[Row]] = {}
    for line in rows:
        groups.setdefault(line[key], []).append(line)
    return dict(sorted(groups.items()))


def check_counts(*, n_convention: str, flops_convention: str) -> None:
    """Refuses a counting convention that no record holds."""
    for setting, value, known in (
        ("study.n_convention", n_convention, N_CONVENTIONS),
        ("study.flops_convention", flops_convention, FLOPS_CONVENTIONS),
    ):
        if value not in known:
            raise ValueError(
                f"{setting} must be one of {', '.join(known)}; got {value!r}: set it to one of them"
            )


def check_seeds(seeds: int) -> None:
    """Refuses a study without seeds."""
    if seeds < 1:
        raise ValueError(f"study.seeds is how many seeds each member gets, at least 1; got {seeds}")


def check_replicates(replicates: int) -> None:
    """Refuses a ladder whose widths are not trained."""
    if replicates < 1:
        raise ValueError(
            "study.replicates is how many runs each fitted width gets, at least 1; "
            f"got {replicates}"
        )


def check_distinct(setting: str, values: Sequence[float], at_least: int, why: str) -> None:
    """Refuses a list with repeats, with values not above zero, or with too few values."""
    if len(set(values)) != len(values) or any(value <= 0 for value in values):
        raise ValueError(f"{setting} must hold different values above zero; got {list(values)}")
    if len(values) < at_least:
        raise ValueError(
            f"{setting} must hold at least {at_least} values {why}; got {list(values)}: add some"
        )
