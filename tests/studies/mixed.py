"""Records of jobs that were trained on mixtures, with a law that is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from tests.made import made_record
from windtunnel.interfaces import Evaluation, Job, Record

TOKENS = {"code": 500_000, "news": 300_000, "talk": 150_000, "wiki": 50_000}

Losses = Callable[[Mapping[str, float], int], Mapping[str, float]]


def weights_of(job: Job) -> dict[str, float]:
    """Which mixture a job was trained on, by its overrides."""
    if job.overrides["sampler"] == "unimax":
        return dict.fromkeys(TOKENS, 1 / len(TOKENS))
    if job.overrides["sampler"] == "temperature":
        powers = {name: n ** job.overrides["sampler.mixture.alpha"] for name, n in TOKENS.items()}
        total = math.fsum(powers.values())
        return {name: power / total for name, power in powers.items()}
    return dict(job.overrides["sampler.mixture.weights"])


def trained(job: Job, losses: Losses, sd: float = 0.0, **changes: Any) -> Record:
    """The record of a job whose domains have the losses of its mixture and width."""
    rng = random.Random(f"{job.name} {job.overrides['seed']}")
    own = {
        name: loss + rng.gauss(0, sd)
        for name, loss in losses(weights_of(job), job.overrides["model.width"]).items()
    }
    mean = math.fsum(own.values()) / len(own)
    domains = {name: {"loss_nats": loss, "n_tokens": 1000.0} for name, loss in own.items()}
    weights = weights_of(job)
    groups = {name: {"sequences": 1000 * weights.get(name, 0.0)} for name in TOKENS}
    values: dict[str, Any] = {
        "evaluation": Evaluation(mean, mean / math.log(2), 4000, domains),
        "data": {
            "domains": {name: {"train_tokens": n} for name, n in TOKENS.items()},
            "sampler": {"groups": groups},
        },
    }
    return made_record(job, mean, **(values | changes))
