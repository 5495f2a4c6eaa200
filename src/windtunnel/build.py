"""The parts of one job, built from its configuration by their `_target_`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from windtunnel.data.datamodule import TokenDataModule
from windtunnel.evaluation import DomainLoss
from windtunnel.interfaces import Batch, Multipliers
from windtunnel.model.parametrization import initialise, multipliers
from windtunnel.optim.groups import parameter_groups
from windtunnel.training import LanguageModelling, Objective


def make(node: DictConfig, *args: Any, **values: Any) -> Any:
    """Builds the part that `_target_` names; what the part refuses is raised as it said it."""
    try:
        return instantiate(node, *args, **values)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise


def build_model(cfg: DictConfig, vocab_size: int) -> tuple[Any, dict[str, Multipliers]]:
    """The model, drawn from the seed, and its table of multipliers."""
    model = make(cfg.model, vocab_size=vocab_size, length=cfg.batch.length)
    table = multipliers(model, make(cfg.parametrization.rule), cfg.optim.update_rule)
    if next(model.parameters()).device.type != "meta":
        generator = torch.Generator().manual_seed(cfg.seed)
        initialise(model, table, init_std=cfg.parametrization.init_std, generator=generator)
    return model, table


def check_parts(cfg: DictConfig, total_tokens: int) -> None:
    """Builds what a bad setting would break, without memory and before any work is done.

    Raises:
        ValueError: a part refuses its settings.
    """
    with torch.device("meta"):
        build_model(cfg, vocab_size=8)
    make(cfg.schedule)(0, total_tokens)


def build_data(cfg: DictConfig) -> TokenDataModule:
    """The data of a job; nothing is read before its `build`."""
    cache = os.environ.get("WINDTUNNEL_CACHE") or cfg.paths.cache
    settings = {k: v for k, v in cfg.data.items() if k in DATA_SETTINGS}
    if cfg.batch.sequences % cfg.batch.accumulate:
        raise ValueError(
            f"batch.accumulate must divide batch.sequences, got {cfg.batch.accumulate} and "
            f"{cfg.batch.sequences}"
        )
    return TokenDataModule(
        source=make(cfg.data.source),
        tokenizer=make(cfg.tokenizer),
        sequences=cfg.batch.sequences // cfg.batch.accumulate,
        length=cfg.batch.length,
        seed=cfg.batch.seed,
        accumulate=cfg.batch.accumulate,
        cache=Path(cache).expanduser(),
        **settings,
    )


DATA_SETTINGS = ("eval_tokens", "held_out", "document_mask", "workers")


def build_training(
    cfg: DictConfig,
    model: nn.Module,
    table: dict[str, Multipliers],
    data: TokenDataModule,
    total_tokens: int,
    tokens_per_step: int,
) -> LanguageModelling:
    """The objective with its optimiser, schedule and metric."""
    optim = cfg.optim
    groups = parameter_groups(
        model,
        table,
        lr=optim.lr,
        eps=optim.eps,
        weight_decay=optim.weight_decay,
        weight_decay_mode=optim.weight_decay_mode,
    )
    schedule = make(cfg.schedule)

    def lr_at(step: int) -> float:
        # In the middle of the step, so that neither the first nor the last is lost to a zero rate.
        return schedule((step + 0.5) * tokens_per_step, total_tokens)

    return LanguageModelling(
        Objective(model, make(cfg.loss)),
        partial(make(optim.build), groups),
        lr_at,
        DomainLoss(data.domains, data.bytes_per_token, data.overall_bytes_per_token),
        optim.clip_norm,
        cfg.trainer.log_every_n_steps,
    )


def empty_batch(cfg: DictConfig, device: torch.device) -> Batch:
    """A batch of the shape and layout of those in training, all zero."""
    shape = (cfg.batch.sequences // cfg.batch.accumulate, cfg.batch.length)
    zeros = torch.zeros(shape, dtype=torch.long, device=device)
    documents: Any = zeros.clone() if cfg.data.document_mask else None
    return Batch(zeros, zeros.clone(), documents, zeros[:, 0].clone())
