"""Checkpoints: whole or not there at all, checked by digest, read without running code from them.

A job's newest checkpoint is `JOB/checkpoints/last.ckpt`; the one before it is `last-1.ckpt`, and so
on, `KEPT` in all. A checkpoint is written beside its place, flushed and renamed, so that a full
disk or a kill leaves those before it. It is a file of `torch.save` with a line at its end, which
says the optimiser step and the SHA-256 of all before it; torch itself reads over that line.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn

from windtunnel.faults import point
from windtunnel.files import flush, replacing

KEPT = 2  # the newest, and the one that takes its place where it is damaged
LAST = "last.ckpt"
END = re.compile(rb"\nwindtunnel step (\d{15}) sha256 ([0-9a-f]{64})\n")
END_BYTES = len("\nwindtunnel step  sha256 \n") + 15 + 64
BLOCK_BYTES = 1 << 20


def checkpoint_path(folder: Path) -> Path:
    """Where the job in `folder` keeps its last checkpoint."""
    return folder / "checkpoints" / LAST


def kept_path(folder: Path, tokens: int) -> Path:
    """Where the job in `folder` keeps the checkpoint that it took after so many tokens, if any."""
    return folder / "checkpoints" / f"tokens-{tokens}.ckpt"


def generations(folder: Path) -> list[Path]:
    """The last checkpoints of the job in `folder` that are there, newest first."""
    last = checkpoint_path(folder)
    return [path for path in (before(last, n) for n in range(KEPT)) if path.is_file()]


def before(path: Path, n: int) -> Path:
    """The place of the checkpoint that was written `n` checkpoints before the one at `path`."""
    return path.with_name(f"{path.stem}-{n}{path.suffix}") if n else path


def by_step(folder: Path) -> dict[int, Path]:
    """Every checkpoint of the job in `folder` that is whole, by its optimiser step."""
    found: dict[int, Path] = {}
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        try:
            found.setdefault(check(path), path)
        except ValueError as error:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    return dict(sorted(found.items()))


def find(folder: Path) -> Path | None:
    """The checkpoint that the job in `folder` can go on from, or None where it has none.

    A damaged one is named in a warning, and the one before it is taken.

    Raises:
        ValueError: there are checkpoints, and all of them are damaged.
    """
    damaged: list[str] = []
    for path in generations(folder):
        try:
            check(path)
        except ValueError as error:
            damaged.append(str(error))
            continue
        for said in damaged:
            warnings.warn(f"{said}; going on from {path.name}", stacklevel=2)
        return path
    if damaged:
        raise ValueError(
            f"{'; '.join(damaged)}. None is left to go on from: bring one back from a copy, or "
            f"remove {folder / 'checkpoints'} to train the job again from its start"
        )
    return None


def newest(folder: Path) -> Path:
    """The newest whole checkpoint of a job that must have one.

    Raises:
        ValueError: it has none.
    """
    path = find(folder)
    if path is None:
        raise ValueError(
            f"there is no checkpoint at {checkpoint_path(folder)}: give the folder of a job that "
            "has trained"
        )
    return path


class _Hashed:
    """A file that keeps the digest of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.file.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self.file.flush()


def save_atomic(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint to `path`, or leaves what is there as it was.

    One at the place of a job's last checkpoint makes that, and those before it, one older.

    Raises:
        ValueError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as part:
        with part.open("wb") as file:
            hashed = _Hashed(file)
            torch.save(checkpoint, hashed)  # type: ignore[arg-type]
            point(f"{path.name}.during_write")
            step = f"\nwindtunnel step {checkpoint.get('global_step', 0):015d} sha256 "
            hashed.digest.update(step.encode())
            file.write(f"{step}{hashed.digest.hexdigest()}\n".encode())
        if path.name == LAST:
            flush(part)
            _make_older(path)


def _make_older(path: Path) -> None:
    for n in reversed(range(1, KEPT)):
        if before(path, n - 1).is_file():
            before(path, n - 1).replace(before(path, n))
        point(f"{path.name}.during_rotation")


def check(path: Path) -> int:
    """Checks the digest of a checkpoint; returns its optimiser step.

    Raises:
        ValueError: the file is missing or damaged.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = path.stat().st_size - END_BYTES
            while left > 0:
                block = file.read(min(left, BLOCK_BYTES))
                digest.update(block)
                left -= len(block) or left
            end = file.read()
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no checkpoint at {path}: give the folder of a job that has trained"
        ) from error
    except OSError as error:
        raise ValueError(f"the checkpoint {path} cannot be read: {error.strerror}") from error
    found = END.fullmatch(end)
    if found is not None:
        digest.update(end[: -len(found[2]) - 1])
    if found is None or digest.hexdigest() != found[2].decode():
        raise ValueError(f"the checkpoint {path} is damaged: its digest is not that of its end")
    return int(found[1])


def read(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, tensors and plain types only.

    Raises:
        ValueError: the file is missing, damaged, or holds anything but tensors and plain types.
    """
    check(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint breaks the unpickler in many ways
        raise ValueError(
            f"the checkpoint {path} cannot be read with weights_only=True: it was not written by "
            f"windtunnel ({error}). Remove it to train the job again"
        ) from error


def load_weights(model: nn.Module, path: Path, prefix: str) -> None:
    """Puts the weights of a checkpoint into `model`.

    Args:
        model: a model of the same shape.
        path: the checkpoint.
        prefix: what the names in the checkpoint start with, such as `model.`.

    Raises:
        ValueError: the checkpoint's weights are not those of this model.
    """
    state: dict[str, Tensor] = read(path).get("state_dict", {})
    own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(
            f"the weights of {path} do not fit the model: {error}. Build the model from the "
            "config.json beside the checkpoint's folder"
        ) from error


class AtomicCheckpointIO(TorchCheckpointIO):
    """Makes Lightning save and load through this module, with no second copy in memory."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes the checkpoint whole or not at all."""
        save_atomic(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads the checkpoint onto the CPU, whatever is asked for, and runs no code from it."""
        return read(Path(path))
