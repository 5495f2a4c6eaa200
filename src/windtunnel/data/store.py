"""The packed token store: every document once as token ids, memory-mapped, keyed by content.

A store's folder is named by a digest of the documents, of the tokenizer and of the split. It is
built under another name and renamed, so what has the name is whole. `known/` remembers which
listing of files led to which store, so that nothing is read again while names, sizes and times
stay as they were. What is opened is checked by size and by a digest of some blocks of every file;
one that is damaged is named and built again. `damage` checks every byte (`scripts/check.py`).
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy import ndarray

from windtunnel.data.cleaning.cleaning import Cleaning
from windtunnel.data.packing import Domain, Progress, pack, token_type
from windtunnel.data.source import Source
from windtunnel.data.spool import Spool
from windtunnel.data.tokenizer import IdTokenizer, Tokenizer, TokenizerSpec, load_tokenizer
from windtunnel.faults import point
from windtunnel.files import flush, write_whole

N_BLOCKS, BLOCK_BYTES = 16, 4096  # that are checked whenever a store is opened
WRITTEN = ("source", "tokenizer", "vocab_size", "eot", "n_documents", "n_replaced", "facts")
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
    cleaning: Cleaning | None = None,
) -> Store:
    """Opens the store of a source, building it where there is none.

    Raises:
        ValueError: the source or the tokenizer cannot be used, or the disk is full.
    """
    _check_ids(source, spec)
    listing = source.listing()
    wanted = [FORMAT, listing.identity, spec.identity(), held_out, *_identity(cleaning)]
    known = cache / "known" / f"{_digest(wanted)}.json"
    try:
        return _find(known, cache) or _build_once(
            _Build(source, spec, held_out, listing.n_bytes, progress or _silent, cleaning),
            known,
            cache,
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
    cleaning: Cleaning | None


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
    documents = build.source.documents()
    for done in spool.fill(build.cleaning.documents(documents) if build.cleaning else documents):
        build.progress("read", done, build.n_bytes)
    if not spool.n_documents:
        where = ", ".join(f"{key}={value}" for key, value in build.source.facts().items())
        raise ValueError(f"data: expected text, got only blank documents from {where}; give some")
    sifted = {"cleaning": build.cleaning.sift(spool)} if build.cleaning else {}
    build.progress("tokenizer", 0, 1)
    if build.source.vocab_size is None:
        tokenizer = build.spec.make(spool.sample, cache / "tokenizers")
    else:
        tokenizer = IdTokenizer(build.source.vocab_size)
    source_digest, split_digest = spool.digests()
    tokenizer_digest = _digest(tokenizer.to_json())
    digests = (source_digest, split_digest, tokenizer_digest)
    name = _digest([FORMAT, *digests, *_identity(build.cleaning)])
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
        "facts": {**build.source.facts(), **sifted},
        "domains": [dataclasses.asdict(domain) for domain in domains],
        "files": {file.name: file.stat().st_size for file in sorted(built.iterdir())},
        "blocks": {file.name: blocks_digest(file) for file in sorted(built.iterdir())},
        "digests": {file.name: file_digest(file) for file in sorted(built.iterdir())},
    }
    for file in built.iterdir():
        flush(file)
    _write_json(built / "meta.json", meta)
    if target.exists():  # damaged
        shutil.rmtree(target)
    point("store.before_rename")
    built.replace(target)
    point("store.after_rename")
    flush(target.parent)
    return Store(target, meta)


def _find(known: Path, cache: Path) -> Store | None:
    try:
        name = json.loads(known.read_bytes())["store"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _read(cache / "stores" / str(name))


def _read(folder: Path) -> Store | None:
    """The store in a folder; None where there is none, or it was damaged since, which is said."""
    if not folder.is_dir():
        return None
    meta, damaged = _inspect(folder, blocks_digest, "blocks")
    if not damaged:
        return Store(folder, meta)
    warnings.warn(
        f"the token store {folder} is damaged in {', '.join(damaged)}: it is built again from the "
        "text",
        stacklevel=2,
    )
    map_file.cache_clear()
    return None


def damage(folder: Path) -> list[str]:
    """Names of the files of a store that are not as they were written; reads every byte."""
    return _inspect(folder, file_digest, "digests")[1]


def _inspect(
    folder: Path, digest: Callable[[Path], str], kind: str
) -> tuple[dict[str, Any], list[str]]:
    """What a store says of itself, and which of its files differ from that."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        sizes, digests = dict(meta["files"]), dict(meta.get(kind, {}))  # older ones have sizes only
        if meta["store"] != folder.name or not set(WRITTEN) <= meta.keys():
            raise ValueError
        [Domain(**values) for values in meta["domains"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, ["meta.json"]
    differ = []
    for name, n_bytes in sizes.items():
        file = folder / name
        whole = file.is_file() and file.stat().st_size == n_bytes
        if not whole or (name in digests and digest(file) != digests[name]):
            differ.append(name)
    return meta, differ


def file_digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def blocks_digest(file: Path) -> str:
    """SHA-256 of blocks that are spread evenly over a file, its first and last among them."""
    digest = hashlib.sha256()
    n_bytes = file.stat().st_size
    with file.open("rb") as opened:
        for i in range(N_BLOCKS):
            opened.seek(max(0, n_bytes - BLOCK_BYTES) * i // (N_BLOCKS - 1))
            digest.update(opened.read(BLOCK_BYTES))
    return digest.hexdigest()


def _check_ids(source: Source, spec: TokenizerSpec) -> None:
    kind = spec.identity()["kind"]
    if (kind == "ids") != (source.vocab_size is not None):
        gives, choose = ("text", "bpe or bytes") if kind == "ids" else ("token ids itself", "ids")
        raise ValueError(
            f"tokenizer: expected one for a source that gives {gives}, got kind {kind!r}; set "
            f"tokenizer={choose}"
        )


def _identity(cleaning: Cleaning | None) -> list[Any]:
    """What of a cleaning tells one store from another; text that is not cleaned adds nothing."""
    return [] if cleaning is None else [cleaning.identity()]


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _write_json(file: Path, values: Any) -> None:
    write_whole(file, json.dumps(values))
