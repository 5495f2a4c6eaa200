"""The parts of one job, built from its configuration by their `_target_`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim import Optimizer

from windtunnel import fsdp, slots
from windtunnel.checkpoint import load_weights, newest
from windtunnel.data.datamodule import TokenDataModule
from windtunnel.data.perturbed import Perturbed
from windtunnel.data.tokenizer import TokenizerSpec
from windtunnel.evaluation import DomainLoss
from windtunnel.interfaces import Batch, Multipliers, Parametrized, Record
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
        with blamed("model"):
            model, table = build_model(cfg, vocab_size=8)
        with blamed("optim"):
            groups = build_groups(cfg, model, table)
    for group in groups:
        group["params"] = [without_memory(parameter) for parameter in group["params"]]
    with blamed("optim"):
        optimizer = make(cfg.optim.build)(groups)
    with blamed("callbacks"):
        callbacks = {name: part["_target_"] for name, part in cfg.callbacks.items()}
    fsdp.refuse(strategy_name(cfg), cfg.trainer.compile, optimizer, callbacks)
    with blamed("schedule"):
        make(cfg.schedule)(0, total_tokens)
    with blamed("loss"):
        make(cfg.loss)


@contextmanager
def blamed(section: str) -> Iterator[None]:
    """Says which section of the config is at fault where a part breaks on what it is given.

    Raises:
        ValueError: for what a part raises that got a text for a number, or nothing for something.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{section}: expected settings as in conf/{section}, got some that cannot be used "
            f"({type(error).__name__}: {error}); correct them"
        ) from error


def build_groups(
    cfg: DictConfig, model: Parametrized, table: dict[str, Multipliers]
) -> list[dict[str, Any]]:
    """Parameter groups for the optimiser."""
    settings = {key: value for key, value in cfg.optim.items() if key in GROUP_SETTINGS}
    return parameter_groups(model, table, **settings)


GROUP_SETTINGS = ("update_rule", "lr", "eps", "weight_decay", "weight_decay_mode")


def without_memory(parameter: Tensor) -> Tensor:
    """A stand-in of the same shape on the processor, for an optimiser that will not step."""
    return torch.zeros(()).expand(parameter.shape).requires_grad_()


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
        tokenizer=build_tokenizer(cfg),
        sequences=cfg.batch.sequences // cfg.batch.accumulate,
        length=cfg.batch.length,
        seed=cfg.batch.seed,
        accumulate=cfg.batch.accumulate,
        cache=Path(cache).expanduser(),
        sampler=make(cfg.sampler) if cfg.get("sampler") else None,
        n_sequences=cfg.budget.tokens // cfg.batch.length,
        cleaning=make(cfg.cleaning) if cfg.get("cleaning") else None,
        packing=make(cfg.packing) if cfg.get("packing") else None,
        transform=make(cfg.transform) if cfg.get("transform") else None,
        **settings,
    )


def build_tokenizer(cfg: DictConfig) -> TokenizerSpec:
    """The choice of a tokenizer, which reorders sentences where a perturbation is set."""
    spec = make(cfg.tokenizer)
    return Perturbed(spec, make(cfg.perturbation)) if cfg.get("perturbation") else spec


DATA_SETTINGS = ("eval_tokens", "held_out", "document_mask", "workers")


def build_training(
    cfg: DictConfig,
    model: Any,
    table: dict[str, Multipliers],
    data: TokenDataModule,
    total_tokens: int,
    tokens_per_step: int,
) -> LanguageModelling:
    """The objective with its optimiser, schedule and metric."""
    schedule = make(cfg.schedule)

    def optimizer() -> Optimizer:
        # Once the model is where it trains: a strategy that cuts it makes its parameters anew.
        return make(cfg.optim.build)(build_groups(cfg, model, table))

    def lr_at(step: int) -> float:
        # In the middle of the step, so that neither the first nor the last is lost to a zero rate.
        return schedule((step + 0.5) * tokens_per_step, total_tokens)

    return LanguageModelling(
        Objective(model, make(cfg.loss)),
        optimizer,
        lr_at,
        DomainLoss(data.domains, data.bytes_per_token, data.overall_bytes_per_token),
        cfg.optim.clip_norm,
        cfg.trainer.log_every_n_steps,
    )


def strategy_name(cfg: DictConfig) -> str:
    """A strategy of Lightning's by its name, or the `_target_` of another."""
    strategy = cfg.trainer.strategy
    return strategy if isinstance(strategy, str) else strategy["_target_"]


def empty_batch(cfg: DictConfig, device: torch.device, n_devices: int) -> Batch:
    """A batch of the shape and layout of those that a device trains on, all zero."""
    shape = (cfg.batch.sequences // cfg.batch.accumulate // n_devices, cfg.batch.length)
    zeros = torch.zeros(shape, dtype=torch.long, device=device)
    documents: Any = zeros.clone() if cfg.data.document_mask else None
    return Batch(zeros, zeros.clone(), documents, zeros[:, 0].clone())


# -------------------------------------------------------------------------------- trained models


def load_model(*, folder: str) -> Any:
    """The model that the job in `folder` trained, for a part such as a loss with a teacher.

    Raises:
        ValueError: the folder holds no job that has trained.
    """
    record = record_of(folder, "loss.teacher.folder")
    model, _ = build_model(OmegaConf.create(record.config), record.data["vocab_size"])
    load_weights(model, newest(Path(folder).expanduser()), "objective.model.")
    return model


LOADS = f"{__name__}.{load_model.__name__}"


def loaded_jobs(cfg: DictConfig, data: TokenDataModule) -> list[str]:
    """Ids of the jobs whose trained models the loss uses.

    Raises:
        ValueError: a folder holds no such job, or its model cannot read this job's batches.
    """
    found = []
    for folder in folders_loaded(OmegaConf.to_container(cfg.loss, resolve=True)):
        record = record_of(folder, "loss.teacher.folder")
        if record.data["tokenizer"] != data.store.meta["tokenizer"]:
            raise ValueError(
                f"loss.teacher.folder must be a job with the tokenizer of this one, got {folder}, "
                f"whose {record.data['vocab_size']} token ids mean something else than the "
                f"{data.vocab_size} here: train the teacher on the same data and tokenizer"
            )
        length = record.config["batch"]["length"]
        if length < cfg.batch.length:
            raise ValueError(
                f"loss.teacher.folder must be a job whose batch.length is at least "
                f"{cfg.batch.length}, got {folder} with {length}: shorten batch.length, or train "
                "another teacher"
            )
        found.append(record.job)
    return found


def folders_loaded(values: Any) -> Iterator[str]:
    """The folders given to `load_model`, anywhere in a part's values."""
    if isinstance(values, Mapping):
        if values.get("_target_") == LOADS:
            yield values["folder"]
        for value in values.values():
            yield from folders_loaded(value)


def record_of(folder: str, setting: str) -> Record:
    """The record of the job in `folder`, which `setting` names.

    Raises:
        ValueError: there is none.
    """
    try:
        record = Record.load(Path(folder).expanduser())
    except FileNotFoundError as error:
        raise ValueError(
            f"{setting} must be the folder of a job that has trained, got {folder}, "
            "which has no record.json: give outputs/NAME/DIGEST"
        ) from error
    slots.check_read_back({key: record.config.get(key) for key in READ_BACK})
    return record


READ_BACK = ("model", "parametrization")  # what is built of another job
