"""Files that are written whole or not at all, several of them together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def check_outputs(paths: Sequence[Path]) -> None:
    """Refuses what could not be written, before any work is done.

    Raises:
        ValueError: a path is a folder, or lies in a folder that is not there or not writable.
    """
    for path in paths:
        folder = path.absolute().parent
        if path.is_dir():
            raise ValueError(f"{path}: expected the name of a file; it is a folder")
        if not folder.is_dir():
            raise ValueError(f"{path}: there is no folder {folder}: make it, or give another")
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{path}: the folder {folder} cannot be written to: give another")


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Writes all files beside their places first, then puts all of them there.

    Raises:
        ValueError: one cannot be written; then none is changed.
    """
    parts = {path: path.with_name(f"{path.name}.{os.getpid()}.part") for path in contents}
    try:
        for path, content in contents.items():
            parts[path].write_bytes(content)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise ValueError(f"{error.filename}: could not be written: {error.strerror}") from error
