"""A tokenizer whose tokens are reordered or marked within every sentence, as `data.perturb` says.

A text becomes its sentences, each followed by a line break that stays where it is. A sentence is a
line, or a piece of one that ends in a full stop, question mark or exclamation mark; white space
around it is dropped, as are sentences of fewer than 2 or more than 350 tokens, in every language
alike, so that all of them hold the same sentences, but for those that hops leave out. The
vocabulary is the inner tokenizer's, which is trained on the text as it was, and after it the
markers. A rule may cut a sentence into pieces of text that are encoded each on its own, or leave it
out.
Source: the limits are those of Kallini et al. 2024, arXiv 2401.06416, appendix, for shuffles.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.data.perturb import Perturbation, to_json
from windtunnel.data.tokenizer import Sample, Tokenizer, TokenizerSpec

FEWEST, MOST = 2, 350  # tokens of a sentence; arXiv 2401.06416
_END = re.compile(r"\s*\n\s*|(?<=[.!?])\s+|(?<=[。！？])")


class PerturbedTokenizer:
    """Encodes text sentence by sentence, in another order or with markers."""

    def __init__(self, inner: Tokenizer, perturbation: Perturbation) -> None:
        self._inner, self._perturbation = inner, perturbation
        self._marker = inner.vocab_size
        self.vocab_size = inner.vocab_size + perturbation.n_markers
        self.eot = inner.eot
        lengths = inner.byte_lengths
        markers = np.zeros(perturbation.n_markers, np.int64)
        self.byte_lengths = None if lengths is None else np.concatenate([lengths, markers])

    def encode(self, texts: Sequence[str]) -> list[ndarray]:
        """Ids of each text; one without a sentence gives none."""
        cut = [[self._perturbation.cut(one) for one in sentences(text)] for text in texts]
        (line_break,) = self._inner.encode(["\n"])
        pieces = chain.from_iterable(chain.from_iterable(cut))
        encoded = iter(self._inner.encode([piece for piece in pieces if isinstance(piece, str)]))
        found = []
        for text, own in zip(texts, cut, strict=True):
            document = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
            kept = [np.zeros(0, np.int32)]
            for number, sentence in enumerate(own):
                ids = self._joined(sentence, encoded)
                if FEWEST <= (ids < self._marker).sum() <= MOST:
                    kept += [self._perturbation(ids, self._marker, (document, number)), line_break]
            found.append(np.concatenate(kept).astype(np.int32))
        return found

    def _joined(self, pieces: Sequence[str | int], encoded: Iterator[ndarray]) -> ndarray:
        """The ids of a sentence from its pieces, whose texts are encoded already."""
        parts = [np.zeros(0, np.int32)]
        for piece in pieces:
            parts.append(
                next(encoded) if isinstance(piece, str) else np.array([self._marker + piece])
            )
        return np.concatenate(parts)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids in the order they have; markers vanish."""
        return self._inner.decode([i for i in ids if i < self._marker])

    def to_json(self) -> dict[str, Any]:
        """The inner tokenizer and the rule."""
        return {
            "kind": "perturbed",
            "inner": self._inner.to_json(),
            "perturbation": to_json(self._perturbation),
        }


class Perturbed:
    """Chooses a tokenizer and a rule."""

    def __init__(self, inner: TokenizerSpec, perturbation: Perturbation) -> None:
        if inner.identity()["kind"] == "ids":
            raise ValueError(
                "perturbation: expected a tokenizer of text, since sentences are reordered, got "
                "tokenizer=ids; set tokenizer=bpe or tokenizer=bytes with a source of text, or "
                "perturbation=null"
            )
        self._inner, self._perturbation = inner, perturbation

    def identity(self) -> dict[str, Any]:
        """Both of theirs."""
        return {
            "kind": "perturbed",
            "inner": self._inner.identity(),
            "perturbation": to_json(self._perturbation),
        }

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Makes the inner tokenizer of the text as it is."""
        return PerturbedTokenizer(self._inner.make(sample, cache), self._perturbation)


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space around them."""
    return [sentence for sentence in _END.split(text.strip()) if sentence]
