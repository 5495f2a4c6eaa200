"""What a tokenizer is, to the rest of the project; and the two that need no training.

A tokenizer is written beside the tokens it made, so that a checkpoint can be read with it. What
the config chooses is a specification, which makes the tokenizer once the corpus is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

NO_TEXT = (
    "tokenizer: expected a source of token ids such as data=synthetic for tokenizer=ids, got text; "
    "set tokenizer=bpe or tokenizer=bytes"
)
Sample = Callable[[int], list[str]]  # text to train on, up to about so many bytes


class Tokenizer(Protocol):
    """Text to ids and back.

    eot: the id that stands before every document; None where ids need no separator. byte_lengths:
    bytes of text that each id stands for [V]; None where the ids do not say.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def eot(self) -> int | None: ...
    @property
    def byte_lengths(self) -> ndarray | None: ...

    def encode(self, texts: Sequence[str]) -> list[ndarray]:
        """Ids of each text; never the id of a separator, whatever the text holds."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that `load_tokenizer` needs."""
        ...


class TokenizerSpec(Protocol):
    """A choice of tokenizer, before the corpus is known."""

    def identity(self) -> dict[str, Any]:
        """Equal identities give equal tokenizers on equal corpora. JSON values only."""
        ...

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Makes the tokenizer, or takes it from the cache."""
        ...


class ByteTokenizer:
    """256 bytes and a separator."""

    vocab_size = 257
    eot = 256
    byte_lengths = np.array([1] * 256 + [0])

    def encode(self, texts: Sequence[str]) -> list[ndarray]:
        """The UTF-8 bytes of each text."""
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these bytes; separators vanish."""
        return bytes(i for i in ids if i != self.eot).decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """Its kind."""
        return {"kind": "bytes"}


class IdTokenizer:
    """Stands where a source gives token ids itself."""

    eot = None
    byte_lengths = None

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def encode(self, texts: Sequence[str]) -> list[ndarray]:
        """Refuses: there is no text to encode."""
        raise ValueError(NO_TEXT)

    def decode(self, ids: Sequence[int]) -> str:
        """The ids as numbers."""
        return " ".join(map(str, ids))

    def to_json(self) -> dict[str, Any]:
        """Its kind and size."""
        return {"kind": "ids", "vocab_size": self.vocab_size}


class Bytes:
    """Chooses UTF-8 bytes."""

    def identity(self) -> dict[str, Any]:
        """Nothing to set."""
        return {"kind": "bytes"}

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Needs no corpus."""
        return ByteTokenizer()


class Ids:
    """Chooses the source's own ids."""

    def identity(self) -> dict[str, Any]:
        """Nothing to set."""
        return {"kind": "ids"}

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Refuses: only the source knows how many ids there are."""
        raise ValueError(NO_TEXT)


def load_tokenizer(file: Path) -> Tokenizer:
    """Reads a tokenizer that stands beside a token store or a checkpoint."""
    return _loaded(json.loads(file.read_text()), file)


def _loaded(values: Mapping[str, Any], file: Path) -> Tokenizer:
    match values["kind"]:
        case "bytes":
            return ByteTokenizer()
        case "ids":
            return IdTokenizer(values["vocab_size"])
        case "subwords":
            from windtunnel.data.subwords import SubwordTokenizer

            return SubwordTokenizer(json.dumps(values["tokenizer"]), values["eot"])
        case "perturbed":
            from windtunnel.data.perturb import from_json
            from windtunnel.data.perturbed import PerturbedTokenizer

            inner = _loaded(values["inner"], file)
            return PerturbedTokenizer(inner, from_json(values["perturbation"]))
    raise ValueError(
        f"{file} holds a tokenizer of kind {values['kind']!r}, which this windtunnel does not "
        "know: update windtunnel to read it"
    )
