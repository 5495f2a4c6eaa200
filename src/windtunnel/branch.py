"""A job that goes on from a checkpoint which another job kept.

It takes over all that a checkpoint holds: weights, state of the optimiser, place in the data, the
curves so far. From there its own schedule, data, loss and budget hold. What it reaches is what the
same job would have reached alone if both have the same rates up to the checkpoint, so nothing else
is accepted: not a source whose rate had begun to fall, nor a decay that should have begun earlier.

Source: Hu et al. 2024, arXiv 2404.06395, section 4.3: many decays from one stable run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from windtunnel import guards, slots
from windtunnel.budget import Budget, plan
from windtunnel.build import make
from windtunnel.checkpoint import kept_path
from windtunnel.config import plain
from windtunnel.data.datamodule import TokenDataModule
from windtunnel.interfaces import Record

SAME = ("model", "parametrization", "optim", "tokenizer", "batch")  # as in the source
OWN = ("batch.seed",)  # the order of the data from here on
ROUNDING = 1e-9  # of a rate

Rate = Callable[[int], float]


class Start(NamedTuple):
    """Where a job goes on: id of the job that kept the checkpoint, and the checkpoint."""

    job: str
    checkpoint: Path


def start_of(cfg: DictConfig, budget: Budget, data: TokenDataModule) -> Start | None:
    """The checkpoint that the config names under `branch`; None where it names none.

    Raises:
        ValueError: there is no such checkpoint, or this job cannot go on from it.
    """
    if not cfg.get("branch"):
        return None
    folder, tokens = Path(str(cfg.branch.folder)).expanduser(), int(cfg.branch.tokens)
    record = _record_of(folder)
    checkpoint = kept_path(folder, tokens)
    if not checkpoint.is_file():
        kept = sorted(int(path.stem.removeprefix("tokens-")) for path in folder.glob("*/tokens-*"))
        raise ValueError(
            f"branch.tokens must be where {folder} kept a checkpoint, {kept or 'and it kept none'};"
            f" got {tokens}: train that job with callbacks=keep_checkpoints "
            f"callbacks.keep.tokens=[{tokens}]"
        )
    if tokens >= budget.tokens:
        raise ValueError(
            f"budget.tokens must be more than branch.tokens={tokens}, which are trained already; "
            f"got {budget.tokens}: raise it"
        )
    _check_same(record, cfg, data)
    _check_rates(record, cfg, budget, tokens)
    return Start(record.job, checkpoint)


def _record_of(folder: Path) -> Record:
    try:
        record = Record.load(folder)
    except FileNotFoundError as error:
        raise ValueError(
            f"branch.folder must be the folder of a job that has trained, got {folder}, which has "
            "no record.json: give outputs/NAME/DIGEST"
        ) from error
    slots.check_read_back({"schedule": record.config.get("schedule")})
    return record


def _check_same(record: Record, cfg: DictConfig, data: TokenDataModule) -> None:
    """Refuses a source whose weights, state or place mean something else here."""
    own, theirs = (
        dict(guards.leaves(guards.without({key: values[key] for key in SAME}, OWN)))
        for values in (plain(cfg), record.config)
    )
    other = sorted(key for key in own | theirs if own.get(key) != theirs.get(key))
    if other:
        raise ValueError(
            f"branch.folder must be a job with the same {', '.join(SAME)}, got {record.name} with "
            f"other values of {', '.join(other[:5])}: give them to both alike"
        )
    if record.data["tokenizer"] != data.store.meta["tokenizer"]:
        raise ValueError(
            f"branch.folder must be a job with the tokenizer of this one, got {record.name}, whose "
            "token ids mean something else: train both on data with one tokenizer"
        )


def _check_rates(record: Record, cfg: DictConfig, budget: Budget, tokens: int) -> None:
    """Refuses two schedules that part before the checkpoint."""
    each = budget.tokens_per_step
    total = plan(**record.config["budget"], tokens_per_step=each).tokens
    theirs = rate_of(record.config["schedule"], total, each)
    ours = rate_of(plain(cfg)["schedule"], budget.tokens, each)
    last = tokens // each - 1
    parted = [n for n in range(last + 1) if not _same(theirs(n), ours(n))]
    if not parted:
        return
    peak = max(theirs(n) for n in range(last + 1))
    if theirs(last) < peak * (1 - ROUNDING):
        raise ValueError(
            f"branch.tokens must lie before {record.name} begins to decay, got {tokens}, where its "
            f"rate is {theirs(last) / peak:.3g} of its peak: branch off earlier, or from a job "
            "with schedule=constant"
        )
    if ours(last) < theirs(last):
        raise ValueError(
            f"schedule: the decay must begin after branch.tokens={tokens}, where {record.name} has "
            f"its full rate; got one that has fallen to {ours(last) / theirs(last):.3g} of it by "
            "then, longer than what is left of the run: shorten the decay, or branch off earlier"
        )
    raise ValueError(
        f"schedule: the rates up to branch.tokens={tokens} must be those of {record.name}, got "
        f"{ours(parted[0]):.4g} and {theirs(parted[0]):.4g} at step {parted[0] + 1}: give both the "
        "same warm-up"
    )


def rate_of(schedule: Any, total_tokens: int, tokens_per_step: int) -> Rate:
    """The multiplier of a job's rates at step n, counted from 0, as in the middle of the step."""
    multiplier = make(schedule)

    def rate(n: int) -> float:
        return multiplier((n + 0.5) * tokens_per_step, total_tokens)

    return rate


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=ROUNDING)
