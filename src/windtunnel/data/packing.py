"""Writes documents as streams of token ids: one for training, one held out for each domain.

A stream is `EOT document EOT document ... EOT`; where the source gives ids itself, it is the
documents as they are. Documents are encoded in batches, by all cores at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from windtunnel.data.spool import Kept, Spool
from windtunnel.data.tokenizer import Tokenizer

TRAIN = "train.tokens"
STARTS = "train.starts"  # first token of each training document, int64
START_DOMAINS = "train.domains"  # its domain, uint16
_BATCH_DOCUMENTS = 2048
_BATCH_BYTES = 1_000_000

Progress = Callable[[str, int, int], None]  # stage, done, total (0 where unknown)


@dataclass
class Domain:
    """What a store holds of one domain; tokens count the separator before each document."""

    name: str
    train_documents: int = 0
    train_tokens: int = 0
    train_bytes: int = 0
    held_out_documents: int = 0
    held_out_tokens: int = 0
    held_out_bytes: int = 0


def held_out_name(domain: int) -> str:
    """File of a domain's held-out stream."""
    return f"held_out_{domain:03d}.tokens"


def token_type(vocab_size: int) -> str:
    """The smallest type that holds every id."""
    return "uint16" if vocab_size <= 2**16 else "uint32"


def pack(spool: Spool, tokenizer: Tokenizer, folder: Path, progress: Progress) -> list[Domain]:
    """Writes the streams into `folder`; what they hold of each domain."""
    domains = [Domain(name) for name in spool.domains]
    separator = np.array([] if tokenizer.eot is None else [tokenizer.eot], np.int64)
    dtype = token_type(tokenizer.vocab_size)
    end = separator.astype(dtype).tobytes()
    n_train = done = 0
    with (
        (folder / TRAIN).open("wb") as train,
        (folder / STARTS).open("wb") as starts,
        (folder / START_DOMAINS).open("wb") as start_domains,
    ):
        for batch in _batches(spool.kept()):
            for document, ids in zip(batch, _ids(batch, tokenizer), strict=True):
                tokens = np.concatenate([separator, ids]).astype(dtype)
                _count(domains[document.domain], document, len(tokens))
                done += document.n_bytes
                if document.is_held_out:
                    _append(folder / held_out_name(document.domain), tokens.tobytes())
                    continue
                train.write(tokens.tobytes())
                starts.write(np.int64(n_train).tobytes())
                start_domains.write(np.uint16(document.domain).tobytes())
                n_train += len(tokens)
            progress("encode", done, spool.n_bytes)
        train.write(end)
    for i in range(len(domains)):
        _append(folder / held_out_name(i), end)
    return domains


def _batches(documents: Iterable[Kept]) -> Iterator[list[Kept]]:
    batch: list[Kept] = []
    n_bytes = 0
    for document in documents:
        batch.append(document)
        n_bytes += document.n_bytes
        if n_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _ids(batch: list[Kept], tokenizer: Tokenizer) -> list[ndarray]:
    if tokenizer.eot is not None:
        return tokenizer.encode([document.text for document in batch])
    return [document.ids for document in batch]


def _count(domain: Domain, document: Kept, n_tokens: int) -> None:
    n_bytes = 0 if document.is_ids else document.n_bytes
    if document.is_held_out:
        domain.held_out_documents += 1
        domain.held_out_tokens += n_tokens
        domain.held_out_bytes += n_bytes
    else:
        domain.train_documents += 1
        domain.train_tokens += n_tokens
        domain.train_bytes += n_bytes


def _append(file: Path, content: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(content)
