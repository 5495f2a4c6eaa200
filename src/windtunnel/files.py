"""Files that are written whole or not at all, however the process or the machine ends.

What is new is written beside the file, flushed to the disk and renamed, and then the folder is
flushed, so that a power cut leaves the old file or the new one. What a killed process leaves beside
it ends in `.part`; whoever next holds the folder's lock removes it (`sweep`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.faults import point

PART = ".part"
SWEPT = (f"*{PART}", f"checkpoints/*{PART}")


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Gives a path beside `path` to write to; what stands there in the end takes its place.

    Args:
        path: the file that is to be written.
        lasting: flush it, so that it outlasts a power cut; not for what is soon written again.

    Raises:
        ValueError: the disk is full, or the folder may not be written; `path` is as it was.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        point(f"{path.name}.before_write")
        yield part
        if lasting:
            flush(part)
        point(f"{path.name}.before_rename")
        part.replace(path)
        point(f"{path.name}.after_rename")
        if lasting:
            flush(path.parent)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        raise ValueError(explain(path, error)) from error
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, lasting: bool = True) -> None:
    """Writes a file whole or not at all.

    Raises:
        ValueError: it cannot be written; what was there is as it was.
    """
    with replacing(path, lasting=lasting) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)
        point(f"{path.name}.during_write")


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def explain(path: Path, error: BaseException) -> str:
    """What to say where a file could not be written."""
    kept = "what was there before is kept" if path.exists() else "there is none before it"
    return (
        f"could not write {path}: {_reason(error)}; {kept}. Free disk space, or set paths.outputs "
        "to a folder on a disk that has some and may be written, then give the same command again"
    )


def _reason(error: BaseException) -> str:
    """What the operating system said, where torch puts an error of its own in front of it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__context__
    return str(error) if inner is None or not inner.strerror else inner.strerror


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written; for the one that holds the folder's lock."""
    for pattern in SWEPT:
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)
