"""Builds a job's loggers, and ends them.

Every one is given the facts of its job and the study that it belongs to. W&B: the run's id is kept
in the job's folder, so a job that goes on there goes on in the same run, while the same job in
another folder has a run of its own; `mode: auto` is offline without an account.
"""

from __future__ import annotations

import json
import logging
import netrc
import os
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from windtunnel.callbacks.csv_logger import CsvLogger
from windtunnel.callbacks.facts import JobFacts
from windtunnel.files import write_whole

log = logging.getLogger(__name__)
WANDB_SERVER = "https://api.wandb.ai"  # used where WANDB_BASE_URL is not set
WANDB_RUN = "wandb_run.json"
MODES = ("auto", "online", "offline", "disabled")


def csv_logger(facts: JobFacts, group: str, *, seconds: float) -> CsvLogger:
    """Metrics in `metrics.csv` of the job's folder."""
    return CsvLogger(facts.folder, seconds=seconds)


def tensorboard_logger(facts: JobFacts, group: str, *, flush_secs: int) -> TensorBoardLogger:
    """Event files in `tensorboard/` of the job's folder."""
    return TensorBoardLogger(
        facts.folder, name="tensorboard", version="", default_hp_metric=False, flush_secs=flush_secs
    )


def wandb_logger(
    facts: JobFacts, group: str, *, project: str, entity: str | None, mode: str, tags: Sequence[str]
) -> WandbLogger:
    """A W&B run, grouped by study and typed by the job's role; nothing watches the machine."""
    mode = wandb_mode(mode, os.environ)
    flat = {"scale": {"N": facts.parameters, "D": facts.total_tokens}}
    return WandbLogger(
        name=facts.name,
        save_dir=facts.folder,
        id=wandb_id(facts),
        project=project,
        entity=entity,
        group=group,
        job_type=facts.role or facts.task,
        tags=list(tags),
        config={**facts.config, **flat, "git": facts.git},
        mode=mode,
        settings={"x_disable_stats": True, "silent": True, "console": "off", "save_code": False},
    )


def wandb_id(facts: JobFacts) -> str:
    """The id of the W&B run of the job's folder: the job's digest and a random part."""
    path = facts.folder / WANDB_RUN
    if not path.exists():
        facts.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"id": f"{facts.job}-{secrets.token_hex(4)}"}))
    return json.loads(path.read_text())["id"]


def wandb_mode(mode: str, environment: Any) -> str:
    """`auto` becomes WANDB_MODE where set, else online with an account and offline without."""
    if mode not in MODES:
        raise ValueError(
            f"logger.wandb.mode: expected one of {', '.join(MODES)}, got {mode!r}: set auto to "
            "go online where there is an account"
        )
    if mode != "auto":
        return mode
    if environment.get("WANDB_MODE"):
        return environment["WANDB_MODE"]
    return "online" if has_account(environment) else "offline"


def has_account(environment: Any) -> bool:
    """Whether a W&B key stands in the environment or in the user's netrc file."""
    if environment.get("WANDB_API_KEY"):
        return True
    host = urlsplit(environment.get("WANDB_BASE_URL") or WANDB_SERVER).hostname or ""
    try:
        return netrc.netrc(environment.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def close(loggers: Sequence[Logger], *, failed: bool) -> None:
    """Ends every logger, so that the next job of the process starts runs of its own."""
    for logger in loggers:
        try:
            logger.finalize("failed" if failed else "success")
        except ValueError as error:
            if not failed:
                raise
            log.warning("%s", error)  # the error that ended the job is the one to show
        if isinstance(logger, WandbLogger) and logger._experiment is not None:
            logger.experiment.finish(exit_code=int(failed))
