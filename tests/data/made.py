"""Small corpora and settings that the tests of this room share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.data.source import Document, Listing
from windtunnel.data.store import Store, open_store
from windtunnel.data.tokenizer import Bytes

if TYPE_CHECKING:
    from windtunnel.data.datamodule import TokenDataModule

WORDS = ("quick", "brown", "fox", "jump", "over", "lazy", "dog", "rain", "in", "deep", "woods")


def sentence(i: int) -> str:
    """A text that no other number has."""
    return " ".join(random.Random(i).choices(WORDS, k=30)) + f" number {i}.\n"


class MadeSource:
    """Documents from memory; counts how often it was read."""

    vocab_size: int | None = None

    def __init__(self, documents: list[Document], *, vocab_size: int | None = None) -> None:
        self._documents = documents
        self.vocab_size = vocab_size
        self.n_reads = 0

    def listing(self) -> Listing:
        return Listing({"source": "made", "n": len(self._documents)}, 0)

    def documents(self) -> Iterator[Document]:
        self.n_reads += 1
        yield from self._documents

    def facts(self) -> dict[str, Any]:
        return {"made": True}


def made_documents(n: int = 60, domains: tuple[str, ...] = ("a", "b", "c")) -> list[Document]:
    """`n` documents, by turns of each domain."""
    return [Document(domains[i % len(domains)], sentence(i), f"group {i}") for i in range(n)]


def made_store(cache: Path, documents: list[Document] | None = None, **changes: Any) -> Store:
    """A store of made-up documents, a token a byte."""
    settings = {"spec": Bytes(), "held_out": 0.3, "cache": cache, "progress": None, **changes}
    spec = settings.pop("spec")
    return open_store(MadeSource(documents or made_documents()), spec, **settings)


def made_module(cache: Path, **changes: Any) -> TokenDataModule:
    """A datamodule over made-up documents."""
    from windtunnel.data.datamodule import TokenDataModule  # torch; not all tests need it

    settings: dict[str, Any] = {
        "source": MadeSource(made_documents()),
        "tokenizer": Bytes(),
        "sequences": 4,
        "length": 16,
        "seed": 3,
        "accumulate": 1,
        "eval_tokens": 300,
        "held_out": 0.3,
        "cache": cache,
        "workers": 0,
        "document_mask": False,
        "sampler": None,
        "n_sequences": 100,
        "cleaning": None,
        "packing": None,
        "transform": None,
    }
    return TokenDataModule(**{**settings, **changes})
