"""Every document of a source on disk, in an order that depends on content alone.

Documents are spread over files by the first bits of their hash (a distribution sort), so that
reading the files one after the other, each sorted by hash, gives all documents in hash order: a
shuffle that no order of arrival can change, which puts exact duplicates next to each other, with
memory for one file's index only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from windtunnel.data.source import Document

N_FILES = 64
MAX_DOMAINS = 256
_SPLITS = ("held_out", "hashed", "train")  # the first wins among duplicates
_ENTRY = np.dtype(
    [
        ("key_high", "<u8"),
        ("key_low", "<u8"),
        ("group", "<u8"),
        ("offset", "<u8"),
        ("n_bytes", "<u8"),
        ("domain", "<u2"),
        ("split", "u1"),
        ("is_ids", "u1"),
    ]
)


class Kept(NamedTuple):
    """A document after sorting: index of its domain, whether held out, what it holds."""

    domain: int
    is_held_out: bool
    is_ids: bool
    content: bytes

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return len(self.content)

    @property
    def text(self) -> str:
        """What it says, where it is text."""
        return self.content.decode()

    @property
    def ids(self) -> ndarray:
        """Its token ids, where it holds ids."""
        return np.frombuffer(self.content, np.int32)


class Spool:
    """Takes documents in, then gives them back in hash order without duplicates."""

    def __init__(self, folder: Path, *, held_out: float) -> None:
        folder.mkdir()
        self._held_out = held_out
        self._data_files = [folder / f"{i:02d}.data" for i in range(N_FILES)]
        self._entry_files = [folder / f"{i:02d}.entries" for i in range(N_FILES)]
        self._seen: dict[str, int] = {}
        self._spread: list[tuple[int, int]] = []  # smallest and largest group hash of a domain
        self._stated: list[bool] = []  # whether the source states a domain's held-out text
        self._dropped: dict[int, ndarray] = {}  # by file, which of its documents are left out
        self.n_documents = 0
        self.n_bytes = 0
        self.n_replaced = 0

    def fill(self, documents: Iterator[Document]) -> Iterator[int]:
        """Writes all documents to disk; yields the bytes so far after each of them."""
        data = [file.open("wb") for file in self._data_files]
        entries = [file.open("wb") for file in self._entry_files]
        offsets = [0] * N_FILES
        try:
            for document in documents:
                content, is_ids = _to_bytes(document.content)
                if not content:
                    continue
                key = hashlib.blake2b(content, digest_size=16).digest()
                high, low = np.frombuffer(key, ">u8")
                group = _hash(document.group)
                domain = self._note(document, group, len(content))
                i = key[0] * N_FILES // 256
                split = _SPLITS.index(document.split)
                row = (high, low, group, offsets[i], len(content), domain, split, is_ids)
                data[i].write(content)
                entries[i].write(np.array(row, _ENTRY).tobytes())
                offsets[i] += len(content)
                yield self.n_bytes
        finally:
            for file in (*data, *entries):
                file.close()

    @property
    def domains(self) -> list[str]:
        """Names of the domains, sorted."""
        return sorted(self._seen)

    def digests(self) -> tuple[str, str]:
        """Digest of all documents with their domains, and of what is held out."""
        source, split = hashlib.sha256(), hashlib.sha256()
        names = self.domains
        source.update("\n".join(names).encode())
        for i in range(N_FILES):
            entries = self._sorted(i)
            rank = self._ranks()[entries["domain"]]
            for column in (entries["key_high"], entries["key_low"], rank):
                source.update(np.ascontiguousarray(column).tobytes())
            split.update(self._is_held_out(entries).tobytes())
        return source.hexdigest()[:16], split.hexdigest()[:16]

    def kept(self) -> Iterator[Kept]:
        """All documents in hash order, without duplicates."""
        ranks = self._ranks()
        for i, file in enumerate(self._data_files):
            entries = self._sorted(i)
            if not len(entries):
                continue
            with file.open("rb", buffering=0) as data:  # what is mapped counts as memory
                for entry, is_held_out in zip(entries, self._is_held_out(entries), strict=True):
                    data.seek(int(entry["offset"]))
                    yield Kept(
                        domain=int(ranks[entry["domain"]]),
                        is_held_out=bool(is_held_out),
                        is_ids=bool(entry["is_ids"]),
                        content=data.read(int(entry["n_bytes"])),
                    )

    def drop(self, is_dropped: ndarray) -> None:
        """Leaves documents out from here on, once; those of `kept` in its order [n]."""
        counts = [len(self._sorted(i)) for i in range(N_FILES)]
        self._dropped = dict(enumerate(np.split(is_dropped, np.cumsum(counts)[:-1])))

    def sample(self, n_bytes: int) -> list[str]:
        """The first documents to train on in hash order, up to about `n_bytes`."""
        texts: list[str] = []
        for document in self.kept():
            if n_bytes <= 0:
                break
            if not document.is_held_out:
                texts.append(document.content[:n_bytes].decode(errors="ignore"))
                n_bytes -= document.n_bytes
        return texts

    def _note(self, document: Document, group: int, n_bytes: int) -> int:
        """Counts the document; index of its domain in order of arrival."""
        if document.domain not in self._seen:
            if len(self._seen) == MAX_DOMAINS:
                raise ValueError(
                    f"data: expected at most {MAX_DOMAINS} domains, got another one named "
                    f"{document.domain!r}; put several of them under one name"
                )
            self._seen[document.domain] = len(self._seen)
            self._spread.append((group, group))
            self._stated.append(False)
        domain = self._seen[document.domain]
        low, high = self._spread[domain]
        self._spread[domain] = (min(low, group), max(high, group))
        self._stated[domain] |= document.split == "held_out"
        self.n_documents += 1
        self.n_bytes += n_bytes
        self.n_replaced += document.n_replaced
        return domain

    def _ranks(self) -> ndarray:
        """Position of a domain in `domains`, by order of arrival."""
        names = self.domains
        return np.array([names.index(name) for name in self._seen], np.uint16)

    def _sorted(self, i: int) -> ndarray:
        entries = np.fromfile(self._entry_files[i], _ENTRY)
        rank = self._ranks()[entries["domain"]] if len(entries) else entries["domain"]
        columns = (entries["group"], rank, entries["split"], entries["key_low"])
        entries = entries[np.lexsort((*columns, entries["key_high"]))]
        is_new = np.ones(len(entries), bool)
        is_new[1:] = (entries["key_high"][1:] != entries["key_high"][:-1]) | (
            entries["key_low"][1:] != entries["key_low"][:-1]
        )
        entries = entries[is_new]
        return entries[~self._dropped[i]] if i in self._dropped else entries

    def _is_held_out(self, entries: ndarray) -> ndarray:
        thresholds = np.array(
            [
                _threshold(spread, stated, self._held_out)
                for spread, stated in zip(self._spread, self._stated, strict=True)
            ],
            np.uint64,
        )
        if not len(entries):
            return np.zeros(0, bool)
        hashed = (entries["split"] == 1) & (entries["group"] < thresholds[entries["domain"]])
        return hashed | (entries["split"] == 0)


def _threshold(spread: tuple[int, int], is_stated: bool, held_out: float) -> int:
    """Groups whose hash lies below this are held out.

    Where the fraction would leave a domain of two or more groups without held-out text, the one
    with the smallest hash is held out.
    """
    if is_stated or held_out == 0:
        return 0
    low, high = spread
    wanted = min(int(held_out * 2**64), 2**64 - 1)
    return max(wanted, low + 1) if high > low else wanted


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _to_bytes(content: str | ndarray) -> tuple[bytes, bool]:
    if isinstance(content, str):
        return content.encode(), False
    return np.ascontiguousarray(content, np.int32).tobytes(), True
