"""What a source of text is, to the rest of the data room.

A source lists what it would read (cheap), then reads it document by document (once). The split
into training and held-out text is made by document: by a hash of `Document.group`, so that it does
not move when documents are added, unless the source states the split itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from numpy import ndarray

Split = Literal["hashed", "train", "held_out"]


@dataclass(frozen=True)
class Document:
    """A piece of text, or of token ids, that the split never cuts.

    group: documents of one group land in the same split. n_replaced: how many invalid stretches of
    bytes stand in `content` as U+FFFD.
    """

    domain: str
    content: str | ndarray
    group: str
    split: Split = "hashed"
    n_replaced: int = 0


class Listing(NamedTuple):
    """What a source would read: two equal identities mean the same content. JSON values only."""

    identity: dict[str, Any]
    n_bytes: int


class Source(Protocol):
    """Where documents come from.

    vocab_size: how many token ids there are, where the source gives ids itself; None for text.
    """

    @property
    def vocab_size(self) -> int | None: ...

    def listing(self) -> Listing:
        """Finds out what there is without reading it; raises ValueError where it cannot be read."""
        ...

    def documents(self) -> Iterator[Document]:
        """Reads everything once, in any order."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the record should say about the source, besides its digest. JSON values only."""
        ...


def stat_rows(files: Iterable[Path], root: Path) -> list[list[str | int]]:
    """Name below `root`, bytes and time of change in ns of every file, sorted by name."""
    rows: list[list[str | int]] = []
    for file in files:
        stat = file.stat()
        rows.append([file.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns])
    return sorted(rows)
