"""A job that gives the training documents of its data scores: named columns, and a record.

Columns stand in `scores/` in the job's folder, and, unless a study asked for the job, under their
name in the token store, where `score: NAME` finds them.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from omegaconf import DictConfig, OmegaConf

from windtunnel import provenance
from windtunnel.build import build_data, build_model, make, record_of
from windtunnel.callbacks.memory import peak_memory_bytes
from windtunnel.callbacks.progress import SECONDS, write_progress
from windtunnel.checkpoint import by_step, load_weights, newest
from windtunnel.choices import choose, choose_accelerator, choose_precision
from windtunnel.config import job_digest, plain
from windtunnel.data import scores
from windtunnel.data.datamodule import TokenDataModule
from windtunnel.data.packing import Progress
from windtunnel.data.passages import Passages
from windtunnel.interfaces import Curve, Record, Scorer
from windtunnel.scorers.frozen import Frozen
from windtunnel.tasks.score import forget
from windtunnel.tasks.score import score as score_documents
from windtunnel.training import Objective

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Ready(NamedTuple):
    """What a scoring job has once nothing can be refused any more."""

    data: TokenDataModule
    inside: ndarray


def prepare(cfg: DictConfig, say_building: Progress | None) -> Ready:
    """Opens the data, and refuses what a scorer cannot work with.

    Raises:
        ValueError: a setting is wrong, or the data or a model cannot be used.
    """
    if not cfg.get("scorer"):
        raise ValueError("scorer: expected a scorer for task=score, got none; give scorer=NAME")
    data = build_data(cfg)
    data.build(say_building)
    inputs(cfg, data)
    scores.path_of(data.store.folder, cfg.scorer.column)  # refuses a name that is fit for no file
    return Ready(data, among(cfg, data.store.folder))


def score(cfg: DictConfig, folder: Path, ready: Ready) -> Record:
    """Computes the columns, writes them and the record."""
    data, started = ready.data, time.monotonic()
    choices = {"threads": choose(cfg.trainer, 0)["threads"]}
    torch.set_num_threads(choices["threads"])
    passages = Passages(data.store)
    scorer: Scorer = make(cfg.scorer.part)
    say = Telling(folder, show=cfg.trainer.progress and sys.stderr.isatty())
    values = score_documents(passages, scorer, folder, inside=ready.inside, say=say)
    columns = dict(zip(names_of(cfg, scorer.columns), values.T, strict=True))
    used = inputs(cfg, data)
    files = write_columns(cfg, folder, data, columns, facts_of(cfg, scorer, used))
    forget(folder)
    measured = {
        "files": [str(file) for file in files],
        "n_tokens": int(passages.lengths[ready.inside].sum()),
        "n_documents": int(ready.inside.sum()),
        "n_left_out": int((~ready.inside).sum()),
        "columns": {name: summary(own, passages, scorer.level) for name, own in columns.items()},
        "notes": list(getattr(scorer, "notes", [])),
    }
    record = blank_record(cfg, folder, data, choices, used)
    seconds = time.monotonic() - started
    record = dataclasses.replace(record, seconds=seconds, measurements={"score": measured})
    record.save(folder)
    return record


def facts_of(cfg: DictConfig, scorer: Scorer, used: list[str]) -> dict[str, Any]:
    """What a column's file says of how it came to be."""
    words = getattr(scorer, "categories", [])
    return {
        "level": scorer.level,
        "job": job_digest(cfg),
        "settings": OmegaConf.to_container(cfg.scorer, resolve=True),
        "inputs": used,
        **({"categories": words} if words else {}),
    }


def write_columns(
    cfg: DictConfig,
    folder: Path,
    data: TokenDataModule,
    columns: Mapping[str, ndarray],
    facts: Mapping[str, Any],
) -> list[Path]:
    """Writes columns into the job's folder and, outside of a study, into the store."""
    files = []
    for name, values in columns.items():
        own = folder / scores.SCORES / f"{name}.parquet"
        own.unlink(missing_ok=True)  # by a try that was stopped after it
        files.append(scores.write(data.store.folder, str(own), values, facts=facts))
        if not cfg.role:
            files.append(scores.write(data.store.folder, name, values, facts=facts))
    return files


def blank_record(
    cfg: DictConfig, folder: Path, data: TokenDataModule, choices: dict[str, Any], used: list[str]
) -> Record:
    """The record of a finished job that trained nothing."""
    return Record(
        job=job_digest(cfg),
        name=folder.name,
        task=cfg.task,
        role=cfg.role,
        outcome="finished",
        outcome_step=0,
        outcome_reason="",
        seed=cfg.seed,
        config=plain(cfg),
        parameters={},
        train_flops={},
        tokens=0,
        steps=0,
        evaluation=None,
        train_curve=Curve(),
        eval_curve=Curve(),
        grad_norm_curve=Curve(),
        seconds=0.0,
        tokens_per_second=0.0,
        mfu=None,
        peak_memory_bytes=peak_memory_bytes(torch.device("cpu")),
        choices=choices,
        data=data.digests,
        table=[],
        measurements={},
        inputs=used,
        versions=provenance.versions(),
        git=provenance.git_state(Path(__file__)),
        warnings=[],
    )


def names_of(cfg: DictConfig, columns: Sequence[str]) -> list[str]:
    """Names of a scorer's columns."""
    return [f"{cfg.scorer.column}{suffix}" for suffix in columns]


def among(cfg: DictConfig, store_folder: Path) -> ndarray:
    """Which documents are to be scored [n]: all, or those whose other score lies in bounds."""
    n_documents = scores.count(store_folder, {"level": "document"})
    bounds = cfg.scorer.among
    if bounds is None:
        return np.ones(n_documents, bool)
    values = scores.read(store_folder, bounds.score)
    low = -np.inf if bounds.at_least is None else bounds.at_least
    high = np.inf if bounds.below is None else bounds.below
    return (values > -np.inf) & (values >= low) & (values < high)


class Telling:
    """Tells how far scoring is: `progress.json`, and a line in a terminal, once a second."""

    def __init__(self, folder: Path, *, show: bool) -> None:
        self._folder, self._show, self._told_at = folder, show, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._told_at < SECONDS:
            return
        self._told_at = now
        write_progress(self._folder, "score", done, total)
        if self._show:
            end = "\n" if done >= total else ""
            line = f"score: {done / total:.0%} of {total:,} tokens"
            sys.stderr.write(f"\r{line}".ljust(40) + end)
            sys.stderr.flush()


def summary(values: ndarray, passages: Passages, level: str) -> dict[str, Any]:
    """How the scores of a column are spread, and the mean of each domain, in documents."""
    known = values[values > -np.inf]
    spread = dict(zip(map(str, QUANTILES), np.quantile(known, QUANTILES).tolist(), strict=True))
    found = {"mean": float(known.mean()), "sd": float(known.std()), "quantiles": spread}
    if level != "document":
        return found
    domains = passages.documents.domains
    means = {}
    for i, name in enumerate(passages.documents.domain_names):
        own = values[(domains == i) & (values > -np.inf)]
        means[name] = float(own.mean()) if len(own) else None
    return found | {"domains": means}


# -------------------------------------------------------------------------------- trained models


def load_frozen(*, folder: str, accelerator: str, precision: str) -> Frozen:
    """The model that the job in `folder` trained, to score with."""
    return _frozen(folder, newest(Path(folder).expanduser()), accelerator, precision)


def load_kept(*, folder: str, accelerator: str, precision: str) -> dict[str, Frozen]:
    """The models at all moments that the job in `folder` kept, by its optimiser steps.

    Raises:
        ValueError: it kept fewer than two.
    """
    found = by_step(Path(folder).expanduser())
    if len(found) < 2:
        raise ValueError(
            f"scorer.folder must be a job that kept its checkpoints of several moments, got "
            f"{folder}, which has {len(found)}: train it with callbacks=keep_checkpoints "
            "callbacks.keep.tokens=[...]"
        )
    return {
        f"step{step}": _frozen(folder, path, accelerator, precision) for step, path in found.items()
    }


LOADS = {f"{__name__}.{load.__name__}" for load in (load_frozen, load_kept)}


def _frozen(folder: str, checkpoint: Path, accelerator: str, precision: str) -> Frozen:
    record = record_of(folder, "scorer.folder")
    cfg = OmegaConf.create(record.config)
    model, _ = build_model(cfg, record.data["vocab_size"])
    load_weights(model, checkpoint, "objective.model.")
    device, _ = choose_accelerator(accelerator)
    chosen: Any = choose_precision(precision, device)[0]
    return Frozen(
        Objective(model, make(cfg.loss)),
        length=cfg.batch.length,
        masked=bool(cfg.data.document_mask),
        device=device,
        precision=chosen,
    )


def inputs(cfg: DictConfig, data: TokenDataModule) -> list[str]:
    """Ids of the jobs whose models score.

    Raises:
        ValueError: a folder holds no such job, or its token ids mean something else.
    """
    found = []
    for folder in _folders(OmegaConf.to_container(cfg.scorer, resolve=True)):
        record = record_of(folder, "scorer.folder")
        if record.data["tokenizer"] != data.store.meta["tokenizer"]:
            raise ValueError(
                f"scorer.folder must be a job with the tokenizer of the data, got {folder}, whose "
                f"{record.data['vocab_size']} token ids mean something else than the "
                f"{data.vocab_size} here: train it on this data, or score with its tokenizer"
            )
        found.append(record.job)
    return found


def scored_by(cfg: DictConfig, data: TokenDataModule) -> list[str]:
    """Ids of the jobs whose scores the sampler of a training job goes by."""
    sampler = OmegaConf.to_container(cfg.sampler, resolve=True) if cfg.get("sampler") else None
    columns = [scores.read_column(data.store.folder, name) for name in _scores(sampler)]
    return list(dict.fromkeys(c.facts["job"] for c in columns if "job" in c.facts))


def _scores(values: Any) -> Iterator[str]:
    """The scores that a sampler names."""
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        if key == "score" and isinstance(value, str):
            yield value
        elif key == "scores" and isinstance(value, list):
            yield from value
        else:
            yield from _scores(value)


def _folders(values: Any) -> Iterator[str]:
    """The folders of all models that a scorer loads."""
    if isinstance(values, Mapping):
        if values.get("_target_") in LOADS:
            yield values["folder"]
        for value in values.values():
            yield from _folders(value)
