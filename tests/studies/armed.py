"""Records that students of a study on choices of text could have left."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.made import made_record
from windtunnel.interfaces import Evaluation, Job, Record
from windtunnel.studies.arms import Arms

TRAIN_TOKENS = 1_000_000
SERVED = 300_000  # tokens that a selection leaves


def made_arms(**changes: Any) -> Arms:
    values: dict[str, Any] = {
        "lr": 0.125,
        "lr_factors": [0.5, 1.0, 2.0],
        "seeds": 3,
        "trial_seeds": 2,
        "level": 0.9,
    }
    return Arms(**(values | changes))


def arm_of(job: Job) -> str:
    return job.name.split("-")[0]


def loss_of(gains: dict[str, float], sd: float) -> Callable[[Job], float | None]:
    """Lowest at a rate of 0.125; a seed moves all arms alike, and each a little by itself."""
    own = random.Random(0)

    def loss(job: Job) -> float | None:
        if "optim.lr" not in job.overrides:
            return 3.0
        shared = random.Random(job.overrides["seed"]).gauss(0, sd)
        away = math.log2(job.overrides["optim.lr"] / 0.125)
        return 4 - gains.get(arm_of(job), 0) + 0.1 * away**2 + shared + own.gauss(0, sd / 20)

    return loss


def made(job: Job, loss: float | None, measurements: dict[str, Any]) -> Record:
    """The record of a job of such a study."""
    whole = dataclasses.replace(job, overrides={"model.width": 24, "seed": 1, **job.overrides})
    domains = {} if loss is None else {n: {"loss_nats": loss + i} for i, n in enumerate("ab")}
    groups = {"all the text": {"tokens": SERVED, "documents": 10}}
    sampled = {"sampler": {"groups": groups}} if job.overrides.get("sampler") else {}
    changes: dict[str, Any] = {"data": {"train_tokens": TRAIN_TOKENS, **sampled}}
    if loss is not None:
        changes["evaluation"] = Evaluation(loss, loss / 2, 1000, domains)
    if job.role == "score":
        changes |= {"evaluation": None, "task": "score", "measurements": measurements}
    return made_record(whole, loss, **changes)


def run(
    study: Any,
    loss: Callable[[Job], float | None],
    folder: Path,
    measurements: dict[str, dict[str, Any]],
) -> tuple[dict[str, Any], dict[str, Record], list[Sequence[Job]]]:
    """Does what the sweeper does, with made records."""
    records: dict[str, Record] = {}
    batches: list[Sequence[Job]] = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        for job in batch:
            records[job.name] = made(job, loss(job), measurements.get(job.name, {}))
    return study.conclude(records, folder), records, batches


def scored(files: list[str], n_tokens: int) -> dict[str, Any]:
    """What a scoring job measured."""
    spread = {"mean": 0.5, "sd": 0.1, "quantiles": {}}
    columns = {Path(file).stem: spread for file in files}
    return {"score": {"files": files, "n_tokens": n_tokens, "n_documents": 7, "columns": columns}}
