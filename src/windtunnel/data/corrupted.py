"""Text of planted quality: known shares of the words of its training documents are out of place.

Of every document a share s of the words, of `shares` by a hash of the document, change places: the
i-th of them, in an order drawn from the document, goes where the next one stood. The document keeps
its words and its white space. Its quality is 1 - s. Held-out documents stay as they are, so that
the corpus has a known order of quality and a clean target.
Source: ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.data.source import Document, Listing, Source

_WHITE = re.compile(r"(\s+)")


class Corrupted:
    """Reads `source`, holds out a fraction of its groups, and corrupts the rest."""

    vocab_size = None

    def __init__(
        self, *, source: Source, shares: Sequence[float], held_out: float, seed: int
    ) -> None:
        if source.vocab_size is not None:
            raise ValueError(
                "data.source.source: expected a source of text, whose words can be moved, got one "
                "of token ids; set it to a source of text"
            )
        if not shares or not all(0 <= share <= 1 for share in shares):
            raise ValueError(
                f"data.shares: expected shares of words from 0 to 1, got {list(shares)}; "
                "[0.0, 0.1, 0.3, 0.6] corrupts three quarters of the documents"
            )
        self._source, self._shares = source, [float(share) for share in shares]
        self._held_out, self._seed = held_out, seed

    def listing(self) -> Listing:
        """What the source would read, and the settings."""
        identity, n_bytes = self._source.listing()
        settings = {"shares": self._shares, "held_out": self._held_out, "seed": self._seed}
        return Listing({"corrupted": settings, "of": identity}, n_bytes)

    def documents(self) -> Iterator[Document]:
        """Reads everything once."""
        return (document for document, _ in self.with_quality())

    def with_quality(self) -> Iterator[tuple[Document, float]]:
        """Documents as they are served, and the quality of each."""
        for document in self._source.documents():
            text = str(document.content)
            if self._is_held_out(document):
                yield replace(document, split="held_out"), 1.0
                continue
            drawn = _hash(f"{self._seed} document {text}")
            share = self._shares[drawn % len(self._shares)]
            moved = move_words(text, share, np.random.default_rng([self._seed, drawn]))
            yield replace(document, content=moved, split="train"), 1 - share

    def facts(self) -> dict[str, Any]:
        """Those of the source, and the shares."""
        return {**self._source.facts(), "corrupted": self._shares}

    def _is_held_out(self, document: Document) -> bool:
        if document.split != "hashed":
            return document.split == "held_out"
        return _hash(f"{self._seed} group {document.group}") < self._held_out * 2**64


def move_words(text: str, share: float, generator: np.random.Generator) -> str:
    """The text with this share of its words in each other's places."""
    pieces = _WHITE.split(text)
    words = [i for i in range(0, len(pieces), 2) if pieces[i]]
    n_moved = round(share * len(words))
    places = generator.permutation(words)[:n_moved].tolist()
    moved = [pieces[i] for i in places]
    for i, word in zip(places[1:] + places[:1], moved, strict=True):
        pieces[i] = word
    return "".join(pieces)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
