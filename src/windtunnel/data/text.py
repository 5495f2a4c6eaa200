"""Text files as a corpus: one file, several, or a folder tree with one domain for each subfolder.

A line that holds `<|endoftext|>` alone separates documents. In a domain with a file named `valid`
(any suffix) that file is the held-out text and all else is trained on; elsewhere the split is made
by document. Documents beyond `PIECE_BYTES` are read in pieces, which share a split, so that memory
stays constant.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from windtunnel.data.source import Document, Listing, Split, stat_rows

SEPARATOR = b"<|endoftext|>"
PIECE_BYTES = 2**20
_REPLACED = "\ufffd"


class TextFiles:
    """Reads the files at `path` whose names match `pattern`."""

    vocab_size = None

    def __init__(
        self,
        *,
        path: str | list[str],
        pattern: str,
        invalid_utf8: Literal["replace", "refuse"],
    ) -> None:
        if invalid_utf8 not in ("replace", "refuse"):
            raise ValueError(
                f"data.invalid_utf8: expected 'replace' or 'refuse', got {invalid_utf8!r}; choose "
                "one of them"
            )
        self._paths = [Path(p).expanduser() for p in ([path] if isinstance(path, str) else path)]
        self._pattern = pattern
        self._invalid_utf8 = invalid_utf8

    def listing(self) -> Listing:
        """Lists the files."""
        rows: list[Any] = []
        n_bytes = 0
        for path in self._paths:
            files = self._files(path)
            found = stat_rows(files, path.parent)
            n_bytes += sum(int(row[1]) for row in found)
            rows += found
        if n_bytes == 0:
            raise ValueError(
                f"data.path: expected text, got only empty files in {self._shown()}; give a folder "
                "with text in it"
            )
        identity = {
            "source": "text",
            "paths": [str(path.absolute()) for path in self._paths],
            "files": rows,
            "invalid_utf8": self._invalid_utf8,
        }
        return Listing(identity, n_bytes)

    def documents(self) -> Iterator[Document]:
        """Reads every file once."""
        for path in self._paths:
            files = self._files(path)
            domains = {file: _domain_of(file, path) for file in files}
            stated = {domains[file] for file in files if file.stem == "valid"}
            for file in files:
                split: Split = "hashed"
                if domains[file] in stated:
                    split = "held_out" if file.stem == "valid" else "train"
                yield from self._read(file, domains[file], split)

    def facts(self) -> dict[str, Any]:
        """Where the files lie."""
        return {"path": self._shown()}

    def _shown(self) -> str:
        return ", ".join(map(str, self._paths))

    def _files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise ValueError(
                f"data.path: expected a file or a folder, got {path}, which does not exist; check "
                "the path"
            )
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and fnmatch.fnmatch(file.name, self._pattern)
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        for file in files:
            if not os.access(file, os.R_OK):
                raise _unreadable(file, "Permission denied")
        if not files:
            raise ValueError(
                f"data.path: expected files named {self._pattern!r} in {path}, got none; check the "
                "path and data.pattern"
            )
        return files

    def _read(self, file: Path, domain: str, split: Split) -> Iterator[Document]:
        try:
            for piece, group in _pieces(file):
                text, n_replaced = self._decode(piece, file)
                if text.strip():
                    yield Document(domain, text, group, split, n_replaced)
        except OSError as error:
            raise _unreadable(file, error.strerror) from error

    def _decode(self, piece: bytes, file: Path) -> tuple[str, int]:
        if b"\0" in piece:
            raise ValueError(
                f"data.path: expected text, got {file}, which holds zero bytes as binary files do; "
                "leave it out through data.pattern, such as data.pattern='*.txt', or convert it to "
                "UTF-8"
            )
        try:
            return piece.decode(), 0
        except UnicodeDecodeError as error:
            if self._invalid_utf8 == "refuse":
                raise ValueError(
                    f"data.path: expected UTF-8, got {file}, which has byte "
                    f"{piece[error.start]:#04x} where UTF-8 allows none; convert it, or set "
                    "data.invalid_utf8=replace"
                ) from error
            text = piece.decode(errors="replace")
            return text, text.count(_REPLACED) - piece.count(_REPLACED.encode())


def _unreadable(file: Path, reason: str | None) -> ValueError:
    return ValueError(
        f"data.path: expected readable files, got {file} ({reason}); change its permissions, or "
        "leave it out through data.pattern"
    )


def _domain_of(file: Path, path: Path) -> str:
    """The first folder below `path`; without one the name of `path`."""
    folders = file.relative_to(path).parts[:-1] if file != path else ()
    if folders:
        return folders[0]
    if path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name if path.stem in ("train", "valid") else path.stem


def _pieces(file: Path) -> Iterator[tuple[bytes, str]]:
    """Documents, long ones in pieces; and the group of each: a hash of its first piece."""
    lines: list[bytes] = []
    n_bytes = 0
    group = ""
    with file.open("rb") as stream:
        while line := stream.readline(PIECE_BYTES):
            is_end = line.rstrip(b"\r\n") == SEPARATOR
            if lines and (is_end or n_bytes + len(line) > PIECE_BYTES):
                piece = b"".join(lines)
                whole = piece if is_end else piece[: _end_of_character(piece)]
                group = group or _hash(whole)
                yield whole, group
                lines = [piece[len(whole) :]]
                n_bytes = len(lines[0])
            if is_end:
                lines, n_bytes, group = [], 0, ""
            else:
                lines.append(line)
                n_bytes += len(line)
    piece = b"".join(lines)
    yield piece, group or _hash(piece)


def _end_of_character(piece: bytes) -> int:
    """Where to cut so that no UTF-8 character is torn: at most three bytes before the end."""
    for back in range(1, min(4, len(piece)) + 1):
        byte = piece[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:  # first byte of a character
            n_needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(piece) - back if n_needed > back else len(piece)
    return len(piece)


def _hash(piece: bytes) -> str:
    return hashlib.blake2b(piece, digest_size=16).hexdigest()
