"""Checkpoints: written whole or not at all, read without running code from the file.

A checkpoint stands at `JOB/checkpoints/last.ckpt`. It is written to a temporary file beside it and
renamed, so that a full disk or a kill leaves the checkpoint before it untouched.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn


def checkpoint_path(folder: Path) -> Path:
    """Where the job in `folder` keeps its last checkpoint."""
    return folder / "checkpoints" / "last.ckpt"


def find(folder: Path) -> Path | None:
    """The checkpoint that the job in `folder` can go on from, or None."""
    path = checkpoint_path(folder)
    return path if path.is_file() else None


def save_atomic(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint to `path`, or leaves what is there as it was.

    Raises:
        ValueError: the disk is full, or the folder cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        raise ValueError(_explain(path, _reason(error))) from error
    finally:
        part.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """What the operating system said, where torch puts an error of its own in front of it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__context__
    return str(error) if inner is None or not inner.strerror else inner.strerror


def _explain(path: Path, reason: str) -> str:
    kept = "the checkpoint before it is kept" if path.exists() else "there is none before it"
    return (
        f"could not write the checkpoint {path}: {reason}; {kept}. Free disk space, or set "
        "paths.outputs to a folder on a disk that has some and may be written, then give the same "
        "command again"
    )


def read(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, tensors and plain types only.

    Raises:
        ValueError: the file is missing, damaged, or holds anything but tensors and plain types.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no checkpoint at {path}: give the folder of a job that has trained"
        ) from error
    except Exception as error:  # a damaged file breaks the unpickler in many ways
        raise ValueError(
            f"the checkpoint {path} cannot be read with weights_only=True: it is damaged or was "
            f"not written by windtunnel ({error}). Remove it to train the job again"
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
    state: dict[str, Tensor] = read(path)["state_dict"]
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
