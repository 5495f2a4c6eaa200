"""One job, from its configuration to its record."""

from __future__ import annotations

import json
import logging
import math
import random
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from windtunnel import ddp, fsdp, provenance, scoring
from windtunnel.branch import start_of
from windtunnel.budget import Budget, plan
from windtunnel.build import (
    blamed,
    build_data,
    build_model,
    build_training,
    check_parts,
    empty_batch,
    loaded_jobs,
    make,
    strategy_name,
)
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.loggers import close
from windtunnel.callbacks.own_rates import OwnRates
from windtunnel.callbacks.progress import write_progress
from windtunnel.callbacks.record import RecordWriter
from windtunnel.checkpoint import AtomicCheckpointIO, checkpoint_path, find
from windtunnel.choices import choose, compile_or_fall_back
from windtunnel.config import job_digest, plain
from windtunnel.data.datamodule import TokenDataModule
from windtunnel.data.packing import Progress
from windtunnel.files import write_whole
from windtunnel.interfaces import Parametrized, Record
from windtunnel.model.count import flops_per_token, parameter_counts
from windtunnel.model.parametrization import rows
from windtunnel.training import LanguageModelling


def run(cfg: DictConfig, folder: Path) -> float:
    """Does one job in `folder`, going on where an earlier try stopped.

    Returns:
        The held-out loss in nats per token; nan where training diverged, or nothing was trained.

    Raises:
        ValueError: a setting is wrong; said before any work is done.
    """
    quieten()
    task = task_of(cfg)
    ready = task.prepare(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.json", json.dumps(plain(cfg), indent=1))
    record = task.work(cfg, folder, ready)
    if record.outcome != "finished" or record.evaluation is None:
        return math.nan
    return record.evaluation.loss_nats


class Task(NamedTuple):
    """What a job can do: `work` does it, given what `prepare` made ready."""

    prepare: Callable[[DictConfig], Any]
    work: Callable[[DictConfig, Path, Any], Record]


def task_of(cfg: DictConfig) -> Task:
    """What the job is to do.

    Raises:
        ValueError: there is no such task, or a scorer that nothing would use.
    """
    if cfg.task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {cfg.task}: choose one")
    if cfg.task == "train" and cfg.get("scorer") and not (cfg.role or cfg.study):
        raise ValueError("task must be score where a scorer is given, got train: add task=score")
    return TASKS[cfg.task]


def prepare(cfg: DictConfig) -> Any:
    """Opens what a job needs, building the token store where there is none.

    It is all that may be refused in a job's config, and writes nothing into the job's folder, so a
    sweep or a study does it for every job before the first one starts.

    Raises:
        ValueError: a setting is wrong, or the data cannot be used.
    """
    return task_of(cfg).prepare(cfg)


def prepare_training(cfg: DictConfig) -> tuple[Budget, TokenDataModule]:
    """Plans a training and opens its data."""
    with blamed("budget"):
        budget = plan_budget(cfg)
    check_parts(cfg, budget.tokens)
    with blamed("data"):
        data = build_data(cfg)
        data.build(build_progress(cfg))
    loaded_jobs(cfg, data)
    start_of(cfg, budget, data)
    return budget, data


def prepare_scoring(cfg: DictConfig) -> scoring.Ready:
    """Opens the data that is to be scored, and the models that score it."""
    return scoring.prepare(cfg, build_progress(cfg))


def build_progress(cfg: DictConfig) -> Progress | None:
    """Tells a person who looks on how far the token store is."""
    return say_progress if cfg.trainer.progress and sys.stderr.isatty() else None


def say_progress(stage: str, done: int, total: int) -> None:
    """One line in the terminal on how far the token store is."""
    share = f" {min(done / total, 1):.0%}" if total else ""
    end = "\n" if stage == "encode" and done >= total else ""
    sys.stderr.write(f"\rdata: {stage}{share}".ljust(40) + end)
    sys.stderr.flush()


def plan_budget(cfg: DictConfig) -> Budget:
    """Steps and evaluations of a job; a step's batch is shared by all its devices."""
    tokens_per_step = cfg.batch.sequences * cfg.batch.length
    return plan(cfg.budget.tokens, cfg.budget.evaluations, tokens_per_step)


def train(cfg: DictConfig, folder: Path, ready: tuple[Budget, TokenDataModule]) -> Record:
    """Trains to the end of the budget, evaluates, and writes the record."""
    budget, data = ready
    choices = remembered(folder / "choices.json", lambda: choose(cfg.trainer, budget.tokens))
    if strategy_name(cfg) == fsdp.TARGET:
        choices |= {"compile": False, "compile_reason": "the model is cut over devices"}
    torch.set_num_threads(choices["threads"])
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(cfg.seed)
    model, table = build_model(cfg, data.vocab_size)
    facts = describe(cfg, folder, budget, data, model, rows(model, table), choices)
    module = build_training(cfg, model, table, data, budget.tokens, budget.tokens_per_step)
    loggers: list[Logger] = [
        make_one("logger", part, facts, group=group_of(folder))
        for part in (cfg.logger or {}).values()
    ]
    callbacks: list[Callback] = [
        make_one("callbacks", part, facts) for part in cfg.callbacks.values()
    ]
    start = start_of(cfg, budget, data)
    if start is not None:
        callbacks.append(OwnRates())
        if find(folder) is None:
            data.take_any_order()
    trainer = build_trainer(cfg, budget, choices, callbacks, loggers)
    if choices["compile"]:
        write_progress(folder, "compile", 0, budget.tokens)
        compile_or_fall_back(module.objective, choices, lambda: try_once(cfg, trainer, module))
        write_whole(folder / "choices.json", json.dumps(choices, indent=1))
    failed = True
    try:
        with ddp.ended_together(trainer):
            trainer.fit(module, data, ckpt_path=find(folder) or (start and start.checkpoint))
        record = next(c for c in callbacks if isinstance(c, RecordWriter)).finish()
        failed = False
    finally:
        close(loggers, failed=failed)
    return record


def make_one(section: str, part: DictConfig, facts: JobFacts, **values: Any) -> Any:
    """A callback or logger of this job."""
    with blamed(section):
        return make(part)(facts, **values)


def describe(
    cfg: DictConfig,
    folder: Path,
    budget: Budget,
    data: TokenDataModule,
    model: Parametrized,
    table: list[dict[str, Any]],
    choices: dict[str, Any],
) -> JobFacts:
    """What the job knows about itself before training starts."""
    counts = parameter_counts(model)
    size = {"depth": cfg.model.depth, "width": cfg.model.width, "length": cfg.batch.length}
    start = start_of(cfg, budget, data)
    return JobFacts(
        job=job_digest(cfg),
        name=folder.name,
        task=cfg.task,
        role=cfg.role,
        seed=cfg.seed,
        config=plain(cfg),
        parameters=counts,
        flops_per_token=flops_per_token(counts, **size),
        total_tokens=budget.tokens,
        tokens_per_step=budget.tokens_per_step,
        table=table,
        choices=choices,
        data=data.digests,
        versions=provenance.versions(),
        git=provenance.git_state(Path(__file__)),
        inputs=[
            *loaded_jobs(cfg, data),
            *([] if start is None else [start.job]),
            *scoring.scored_by(cfg, data),
        ],
        warnings=doubts(data, budget.tokens, cfg.data.eval_tokens),
        folder=folder,
        checkpoint=checkpoint_path(folder),
    )


def doubts(data: TokenDataModule, tokens: int, eval_tokens: int) -> list[str]:
    """What a person should know about the text before trusting a result."""
    found = data.repeats(tokens)
    if data.eval_tokens < eval_tokens / 2:
        found.append(
            f"data.eval_tokens={eval_tokens} held-out predictions are wanted, only "
            f"{data.eval_tokens} are there: give more text, or a larger data.held_out"
        )
    single = [domain.name for domain in data.store.domains if not domain.held_out_documents]
    if single:
        found.append(
            f"{', '.join(single)}: a single document, none held out, so it is not evaluated"
        )
    if data.digests["n_replaced"]:
        found.append(f"{data.digests['n_replaced']} places that are no UTF-8 were replaced")
    return found


def group_of(folder: Path) -> str:
    """What a job's runs are grouped by: its study's folder, or its recipe."""
    return folder.parent.name


def build_trainer(
    cfg: DictConfig,
    budget: Budget,
    choices: dict[str, Any],
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> L.Trainer:
    """Lightning's trainer, which counts optimiser steps and draws nothing itself."""
    strategy = cfg.trainer.strategy
    return L.Trainer(
        accelerator=choices["accelerator"],
        devices=cfg.trainer.devices,
        num_nodes=cfg.trainer.num_nodes,
        strategy=strategy if isinstance(strategy, str) else make(strategy),
        precision=choices["precision"],
        max_steps=budget.steps,
        max_epochs=-1,
        val_check_interval=budget.steps_between * cfg.batch.accumulate,
        check_val_every_n_epoch=None,
        accumulate_grad_batches=cfg.batch.accumulate,
        log_every_n_steps=cfg.trainer.log_every_n_steps,
        num_sanity_val_steps=0,
        inference_mode=False,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        logger=list(loggers),
        plugins=[AtomicCheckpointIO(), *ddp.environment()],
    )


def try_once(cfg: DictConfig, trainer: L.Trainer, module: LanguageModelling) -> None:
    """One forward and backward pass on an empty batch, as training will do it."""
    device = trainer.strategy.root_device
    objective = module.objective.to(device)
    with trainer.precision_plugin.forward_context():
        objective(empty_batch(cfg, device, trainer.world_size)).loss.backward()
    objective.zero_grad(set_to_none=True)


def remembered(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an earlier try of the job wrote to `path`; else what `make` gives, written there."""
    if path.exists():
        try:
            return dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}): bring it back from a copy, or remove the job's "
                "folder to train it again"
            ) from error
    values = make()
    write_whole(path, json.dumps(values, indent=1))
    return values


def quieten() -> None:
    """Leaves out what Lightning says about itself, and guesses about our loaders and metrics."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*treespec, LeafSpec.*",
        ".*returned a view tensor.*",  # of FSDP2: nothing is done in place to what a loss returns
        ".*sync_dist=True.*",  # what is logged comes from a metric that sums over the devices
    ):
        warnings.filterwarnings("ignore", message=message)


TASKS = {"train": Task(prepare_training, train), "score": Task(prepare_scoring, scoring.score)}
