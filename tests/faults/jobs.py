"""Small whole jobs, what they leave, and whether two of them left the same."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from windtunnel import config, faults, folder, stopping
from windtunnel.checkpoint import find, read
from windtunnel.run import run

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "at", "all"]
TIMES = ("seconds", "tokens_per_second", "mfu", "peak_memory_bytes", "versions", "git")
# Callbacks of a checkpoint that keep times.
CLOCKS = ("Throughput", "RecordWriter")

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.jobs"])


def corpus(path: Path) -> Path:
    """Two domains of made text, many short documents each."""
    generator = torch.Generator().manual_seed(0)
    for domain in ("prose", "verse"):
        (path / domain).mkdir(parents=True)
        texts = []
        for _ in range(40):
            picks = torch.randint(0, len(WORDS), (60,), generator=generator).tolist()
            texts.append(" ".join(WORDS[i] for i in picks))
        (path / domain / "train.txt").write_text("\n<|endoftext|>\n".join(texts))
    return path


def settings(text: Path, *more: str) -> list[str]:
    """Six steps and three evaluations, with a checkpoint after every step."""
    return [
        "data=text",
        f"data.path={text}",
        "tokenizer=bytes",
        "data.eval_tokens=500",
        "budget.tokens=768",
        "budget.evaluations=3",
        "batch.sequences=4",
        "batch.length=32",
        "model.width=16",
        "model.depth=1",
        "model.head_size=8",
        "schedule.warmup_tokens=128",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        "trainer.log_every_n_steps=1",
        "trainer.checkpoint_seconds=0",
        *more,
    ]


def composed(text: Path, *more: str, without: Sequence[str] = ()) -> DictConfig:
    """The config of such a job, less some of its settings, as a process of its own is given it."""
    given = [own for own in settings(text, *more) if own not in without]
    return OmegaConf.create(config.plain(config.compose(None, given)))


def work(cfg: DictConfig, home: Path) -> None:
    """Does the job as `train.py` does."""
    with folder.claimed(home, config.plain(cfg), config.job_digest) as record:
        if record is None:
            run(cfg, home)


@contextmanager
def watching(watch: Callable[[str], None]) -> Iterator[None]:
    """Calls `watch` at every point that is passed."""
    faults.watch = watch
    try:
        yield
    finally:
        faults.watch = None


# ------------------------------------------------------------------------------- in its own process


def start(cfg: DictConfig, home: Path, fault: str | None = None) -> tuple[BaseProcess, Any]:
    """Starts the job in a process forked from a warm server; gives the count of its steps too."""
    steps = PROCESSES.Value("i", 0)
    values = config.plain(cfg)
    process = PROCESSES.Process(target=_child, args=(values, str(home), fault, steps))
    process.start()
    return process, steps


def ended(cfg: DictConfig, home: Path, fault: str | None = None) -> int | None:
    """The exit code of the job in a process of its own."""
    process, _ = start(cfg, home, fault)
    process.join(900)
    return process.exitcode


def _child(values: dict[str, Any], home: str, fault: str | None, steps: Any) -> None:
    log = os.open(f"{home}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    strike = faults.Fault(fault) if fault else None

    def watch(name: str) -> None:
        steps.value += name == "step"
        if strike is not None:
            strike(name)

    faults.watch = watch
    try:
        with stopping.heard():
            work(OmegaConf.create(values), Path(home))
    except Exception:
        traceback.print_exc()
        raise SystemExit(2) from None


# ------------------------------------------------------------------------------------- what is left


def left(home: Path) -> dict[str, Any]:
    """All that a job left which must not depend on when it was stopped."""
    values = json.loads((home / "record.json").read_text())
    path = find(home)
    assert path is not None
    state = read(path)
    for name, kept in state["callbacks"].items():
        if name.startswith(CLOCKS):
            for key in ("seconds", "tokens", "peak_memory_bytes"):
                kept.pop(key, None)
    names = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "global_step")
    return {
        "record": {k: v for k, v in values.items() if k not in (*TIMES, "name")},
        **{name: state[name] for name in names},
        "metrics": metrics(home / "metrics.csv"),
        "files": files(home),
    }


def metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a job's metrics, without speeds."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith("throughput/")} for row in rows]


def files(home: Path) -> list[str]:
    """The names of all files in a folder, at any depth."""
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two such things differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        missing = object()
        return [
            found
            for key in keys
            for found in differences(
                one.get(key, missing), other.get(key, missing), f"{path}.{key}"
            )
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for i, (a, b) in pairs for found in differences(a, b, f"{path}[{i}]")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one, other)
    else:
        same = type(one) is type(other) and (one == other or (one != one and other != other))
    return [] if same else [f"{path}: {one!r:.80} and {other!r:.80}"]


class Snapshots:
    """Copies a job's folder at points, as the power would leave it there."""

    def __init__(self, home: Path, copies: Path, wanted: Callable[[str, int], bool]) -> None:
        self.home, self.copies, self.wanted = home, copies, wanted
        self.passes: dict[str, int] = {}
        self.taken: dict[str, Path] = {}

    def __call__(self, name: str) -> None:
        self.passes[name] = self.passes.get(name, 0) + 1
        if self.wanted(name, self.passes[name]):
            self.taken[name] = self.copies / name
            shutil.copytree(self.home, self.taken[name])


def names_of(sequence: Sequence[str]) -> list[str]:
    """Every name once, in order."""
    return list(dict.fromkeys(sequence))
