"""The packed token store: every document once as token ids, memory-mapped, keyed by content.

A store's folder is named by a digest of the documents, of the tokenizer and of the split. It is
built under another name and renamed, so what has the name is whole. `known/` remembers which
listing of files led to which store, so that nothing is read again while names, sizes and times
stay as they were.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy import ndarray

from windtunnel.data.packing import Domain, Progress, pack, token_type
from windtunnel.data.source import Source
from windtunnel.data.spool import Spool
from windtunnel.data.tokenizer import IdTokenizer, Tokenizer, TokenizerSpec, load_tokenizer

FORMAT = 1  # of the files of a store; another one is another store
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Store:
    """A whole token store on disk."""

    folder: Path
    meta: dict[str, Any]

    @cached_property
    def domains(self) -> list[Domain]:
        """Its domains, sorted by name."""
        return [Domain(**values) for values in self.meta["domains"]]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens."""
        return load_tokenizer(self.folder / "tokenizer.json")

    def stream(self, name: str) -> ndarray:
        """A stream of token ids [n], mapped into memory."""
        return map_file(self.folder / name, token_type(self.meta["vocab_size"]))


@lru_cache(maxsize=1024)
def map_file(file: Path, dtype: str) -> ndarray:
    """The numbers in a file, mapped into memory once per process."""
    if not file.stat().st_size:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(file, dtype, "r"))


def open_store(
    source: Source,
    spec: TokenizerSpec,
    *,
    held_out: float,
    cache: Path,
    progress: Progress | None,
) -> Store:
    """Opens the store of a source, building it where there is none.

    Raises:
        ValueError: the source or the tokenizer cannot be used, or the disk is full.
    """
    _check_ids(source, spec)
    listing = source.listing()
    wanted = [FORMAT, listing.identity, spec.identity(), held_out]
    known = cache / "known" / f"{_digest(wanted)}.json"
    try:
        return _find(known, cache) or _build_once(
            _Build(source, spec, held_out, listing.n_bytes, progress or _silent), known, cache
        )
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise ValueError(
            f"paths.cache: expected space for the token store on the disk of {cache}, got "
            f"'{error.strerror}'; nothing was left behind; free some, or set paths.cache to "
            "another disk"
        ) from error


@dataclass(frozen=True)
class _Build:
    source: Source
    spec: TokenizerSpec
    held_out: float
    n_bytes: int
    progress: Progress


def _build_once(build: _Build, known: Path, cache: Path) -> Store:
    """Builds a store, unless another process does so meanwhile."""
    stores = cache / "stores"
    stores.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "build.lock"):
        store = _find(known, cache)
        if store is not None:
            return store
        for left in stores.glob("*.part"):  # by a killed process
            shutil.rmtree(left)
        part = stores / f"{known.stem}.part"
        part.mkdir()
        try:
            store = _build(build, part, cache)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        _write_json(known, {"store": store.folder.name})
        return store


def _build(build: _Build, part: Path, cache: Path) -> Store:
    """Builds a store inside `part` and moves it to its place."""
    spool = Spool(part / "spool", held_out=build.held_out)
    for done in spool.fill(build.source.documents()):
        build.progress("read", done, build.n_bytes)
    if not spool.n_documents:
        where = ", ".join(f"{key}={value}" for key, value in build.source.facts().items())
        raise ValueError(f"data: expected text, got only blank documents from {where}; give some")
    build.progress("tokenizer", 0, 1)
    if build.source.vocab_size is None:
        tokenizer = build.spec.make(spool.sample, cache / "tokenizers")
    else:
        tokenizer = IdTokenizer(build.source.vocab_size)
    source_digest, split_digest = spool.digests()
    tokenizer_digest = _digest(tokenizer.to_json())
    name = _digest([FORMAT, source_digest, split_digest, tokenizer_digest])
    target = cache / "stores" / name
    found = _read(target)
    if found is not None:
        return found
    built = part / "store"
    built.mkdir()
    domains = pack(spool, tokenizer, built, build.progress)
    _write_json(built / "tokenizer.json", tokenizer.to_json())
    meta = {
        "source": source_digest,
        "tokenizer": tokenizer_digest,
        "store": name,
        "vocab_size": tokenizer.vocab_size,
        "eot": tokenizer.eot,
        "n_documents": spool.n_documents,
        "n_replaced": spool.n_replaced,
        "facts": build.source.facts(),
        "domains": [dataclasses.asdict(domain) for domain in domains],
        "files": {file.name: file.stat().st_size for file in sorted(built.iterdir())},
    }
    _write_json(built / "meta.json", meta)
    if target.exists():  # damaged
        shutil.rmtree(target)
    built.replace(target)
    return Store(target, meta)


def _find(known: Path, cache: Path) -> Store | None:
    if not known.is_file():
        return None
    return _read(cache / "stores" / json.loads(known.read_text())["store"])


def _read(folder: Path) -> Store | None:
    """The store in a folder; None where there is none, or it was damaged since."""
    file = folder / "meta.json"
    if not file.is_file():
        return None
    meta = json.loads(file.read_text())
    for name, n_bytes in meta["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != n_bytes:
            return None
    return Store(folder, meta)


def _check_ids(source: Source, spec: TokenizerSpec) -> None:
    kind = spec.identity()["kind"]
    if (kind == "ids") != (source.vocab_size is not None):
        gives, choose = ("text", "bpe or bytes") if kind == "ids" else ("token ids itself", "ids")
        raise ValueError(
            f"tokenizer: expected one for a source that gives {gives}, got kind {kind!r}; set "
            f"tokenizer={choose}"
        )


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _write_json(file: Path, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(values))
    part.replace(file)
