"""The folder of a job or a study: whose it is, who works in it, whether it is finished.

A lock is an advisory lock of the operating system on the file `.lock` in the folder: it ends with
the process that holds it, however that ends, so a dead process never blocks a folder. On a disk
that has no such locks, what stands in the file counts: a process of this machine that is gone has
left it behind, one of another machine may live.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from windtunnel import files
from windtunnel.interfaces import Record, Unreadable

try:
    import fcntl
except ImportError:  # Windows: no advisory locks
    fcntl = None

LOCK = ".lock"
LOG = "log.txt"
HYDRA = ".hydra"
OWNER = re.compile(r"process (?P<process>\d+) on (?P<host>.+)")
HARMLESS = {LOCK, LOG, HYDRA, "train.log", "multirun.yaml"}
DONE = ("finished", "diverged")
POLL_SECONDS = 0.1
LOCK_SECONDS = 3.0


class Incomplete(RuntimeError):
    """Work ended with something missing, which the message names."""


@contextmanager
def claimed(
    folder: Path, values: Mapping[str, Any], digest: Callable[[Mapping[str, Any]], str]
) -> Iterator[Record | None]:
    """Holds the folder for one job, and gives the record where that job is done already.

    A job that is refused leaves no folder behind. The further processes of a job on several devices
    share the folder with the first.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield None
        return
    refuse_other(folder, values, digest)  # before a lock is left in a folder of another's
    with locked(folder, LOCK_SECONDS):
        try:
            refuse_other(folder, values, digest)
            yield finished(folder)
        except ValueError:
            if {path.name for path in folder.iterdir()} <= {LOCK, HYDRA}:
                shutil.rmtree(folder, ignore_errors=True)
            raise


@contextmanager
def locked(folder: Path, wait_seconds: float) -> Iterator[None]:
    """Holds the folder for this process; waits a moment for one that is just ending.

    Raises:
        ValueError: another process works in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        deadline = time.monotonic() + wait_seconds
        while not _take(file):
            if time.monotonic() > deadline:
                raise ValueError(
                    f"{folder}: expected a folder that nobody works in, but {_owner(file)} does; "
                    "wait for it, stop it, or give fresh=true for a folder of its own; if it is "
                    f"gone for certain, remove {file.name}"
                )
            time.sleep(POLL_SECONDS)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        files.sweep(folder)
        try:
            yield
        finally:
            file.truncate(0)


def _take(file: IO[str]) -> bool:
    if fcntl is None:
        return _is_stale(file)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # this disk has no locks
        return _is_stale(file)
    return True


def _is_stale(file: IO[str]) -> bool:
    """Whether the process that wrote its name into the file is gone, as far as can be told."""
    owner = OWNER.fullmatch(_owner(file))
    if owner is None:
        return True
    return owner["host"] == socket.gethostname() and not _lives(int(owner["process"]))


def _lives(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process)


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "another process"


def refuse_other(
    folder: Path, values: Mapping[str, Any], digest: Callable[[Mapping[str, Any]], str]
) -> None:
    """Refuses to work in a folder that holds something else.

    Args:
        folder: where the job or study is to work.
        values: its resolved config.
        digest: its id as a function of a resolved config.

    Raises:
        ValueError: the folder belongs to another config, or to no job at all.
    """
    there = _config_in(folder)
    if there is None:
        there_now = {p.name for p in folder.glob("*") if p.suffix != files.PART}
        found = sorted(there_now - HARMLESS)
        if found:
            raise ValueError(
                f"{folder}: expected an empty folder or one of windtunnel's, but it holds "
                f"{', '.join(found[:5])}; give paths.outputs=FOLDER or hydra.run.dir=FOLDER"
            )
        return
    if digest(there) != digest(values):
        raise ValueError(
            f"{folder}: expected the folder of this config, but it holds one with other values of "
            f"{', '.join(_differences(there, values)[:5])}; give fresh=true for a folder of its own"
        )


def _config_in(folder: Path) -> dict[str, Any] | None:
    """The resolved config that a folder holds; None where it holds no such thing."""
    try:
        there = json.loads((folder / "config.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return there if isinstance(there, dict) else None


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    found = []
    for key in keys:
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += [f"{key}.{inner}" for inner in _differences(a, b)]
        else:
            found.append(key)
    return found


def finished(folder: Path) -> Record | None:
    """The record of a job that is done, or None where work is left.

    One that cannot be read is named in a warning and written anew by the job, which goes on.
    """
    if not (folder / "record.json").exists():
        return None
    try:
        record = Record.load(folder)
    except Unreadable as error:
        warnings.warn(str(error), stacklevel=2)
        return None
    return record if record.outcome in DONE else None


def finished_loss(record: Record) -> float:
    """Held-out loss of a finished job in nats per token; nan where it diverged."""
    if record.outcome == "diverged" or record.evaluation is None:
        return float("nan")
    return record.evaluation.loss_nats


def result_line(record: Record) -> str:
    """`finished, loss 2.1034`, or at which step a finished job diverged."""
    if record.outcome == "diverged":
        return f"diverged at step {record.outcome_step}"
    if record.evaluation is None:
        return "finished"
    return f"finished, loss {finished_loss(record):.4f}"


def finished_jobs(study_folder: Path) -> dict[str, Record]:
    """The records of all jobs of a study that are done, by the name of their folders."""
    found = {p.parent.name: finished(p.parent) for p in study_folder.glob("*/record.json")}
    return {name: record for name, record in sorted(found.items()) if record is not None}
