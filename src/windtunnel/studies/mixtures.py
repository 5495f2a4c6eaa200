"""What studies of mixtures share: jobs with a mixture, and what records say of the domains."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.suggest import nearest
from windtunnel.studies.members import held_out_loss

WRITABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")  # as a key of an override
RESERVED = ("null", "true", "false", "nan", "inf")
MEAN = "mean"  # the target that all domains make up, each counting once

Mixture = dict[str, float]


def job(
    name: str, role: str, *, width: int, tokens: int, seed: int, sampler: Mapping[str, Any]
) -> Job:
    """A job of a size, with the sampler's overrides; seed and data order are the same number."""
    overrides: dict[str, Any] = {
        "model.width": width,
        "budget.tokens": tokens,
        "seed": seed,
        "batch.seed": seed,
        **sampler,
    }
    return Job(name, role, overrides, cost=float(width) * tokens)


def fixed(weights: Mapping[str, float]) -> dict[str, Any]:
    """Overrides for fixed proportions; a domain without weight is left out.

    Raises:
        ValueError: a name cannot stand on a command line.
    """
    for name in weights:
        if not WRITABLE.fullmatch(name) or name.lower() in RESERVED:
            raise ValueError(
                "data: a study of mixtures expects domains whose names begin with a letter and "
                f"hold letters a to z, digits and _ - only, got {name!r}: rename its folder"
            )
    named = {name: weight for name, weight in weights.items() if weight > 0}
    return {"sampler": "mixture", "sampler.mixture.weights": named}


def tempered(alpha: float) -> dict[str, Any]:
    """Overrides for proportions by tokens to the power `alpha`."""
    return {"sampler": "temperature", "sampler.mixture.alpha": alpha}


def domain_tokens(record: Record) -> dict[str, int]:
    """Training tokens of every domain that has some."""
    found = {name: own["train_tokens"] for name, own in record.data["domains"].items()}
    return {name: n for name, n in found.items() if n > 0}


def shares(tokens: Mapping[str, float]) -> Mixture:
    """Values as shares of their sum."""
    total = math.fsum(tokens.values())
    return {name: n / total for name, n in tokens.items()}


def domain_losses(record: Record | None) -> dict[str, float]:
    """Held-out loss of every domain in nats per token; none where the job left none."""
    if record is None or held_out_loss(record) is None or record.evaluation is None:
        return {}
    return {name: own["loss_nats"] for name, own in record.evaluation.domains.items()}


def target_loss(record: Record | None, target: str) -> float | None:
    """Held-out loss of one domain, or the mean over domains."""
    losses = domain_losses(record)
    if not losses:
        return None
    return math.fsum(losses.values()) / len(losses) if target == MEAN else losses[target]


def mean_domains(records: Iterable[Record | None]) -> dict[str, float]:
    """Mean loss of every domain over the records that have losses."""
    own = [losses for record in records if (losses := domain_losses(record))]
    names = own[0] if own else {}
    return {name: math.fsum(losses[name] for losses in own) / len(own) for name in names}


def check_target(target: str, record: Record) -> None:
    """Refuses a target that is not scored.

    Raises:
        ValueError: naming those that are nearest.
    """
    known = [MEAN, *domain_losses(record)]
    if target not in known:
        raise ValueError(
            f"study.target: expected {MEAN} or a domain with held-out text, got {target!r}; "
            f"{nearest(target, known)}"
        )


def epochs(
    weights: Mapping[str, float], tokens: Mapping[str, int], budget: int
) -> dict[str, float]:
    """How many times each domain is read."""
    return {name: weights.get(name, 0.0) * budget / n for name, n in tokens.items()}
