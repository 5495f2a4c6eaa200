"""The training documents of a store one by one, with their text: what a scorer reads.

The stream is `EOT document EOT document ... EOT`; a passage is read with the separator before it,
from which its first token is predicted, and with the one behind it, which its last token predicts.
Where ids need no separator, it is the document alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents
from windtunnel.data.store import Store
from windtunnel.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Passage:
    """A training document.

    number: its place in the store. ids: its tokens, with the separators before and behind it [n].
    own: its tokens alone.
    """

    number: int
    ids: ndarray
    own: ndarray
    tokenizer: Tokenizer

    @cached_property
    def text(self) -> str:
        """What it says; for a source of ids, the ids as numbers."""
        return self.tokenizer.decode(self.own.tolist())

    @property
    def name(self) -> str:
        """A digest of what it says, the same in every store: blake2b with 16 bytes, in hex."""
        return name_of(self.text if self.tokenizer.eot is not None else self.own)


class Passages:
    """All training documents of a store, by number."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.documents = Documents(store)
        self._separators = int(store.meta["eot"] is not None)

    @cached_property
    def lengths(self) -> ndarray:
        """Tokens of every document, without separators [n]."""
        return self.documents.n_tokens(np.arange(len(self))) - self._separators

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, number: int) -> Passage:
        if not 0 <= number < len(self):
            raise IndexError(number)
        stream, first = self.documents.stream, int(self.documents.firsts[number])
        own = first + self._separators
        end = own + int(self.lengths[number])
        return Passage(
            number=number,
            ids=stream[first : end + self._separators],
            own=stream[own:end],
            tokenizer=self.store.tokenizer,
        )

    def __iter__(self) -> Iterator[Passage]:
        return (self[number] for number in range(len(self)))


def name_of(content: str | ndarray) -> str:
    """The name of a document that says this."""
    is_text = isinstance(content, str)
    whole = content.encode() if is_text else np.ascontiguousarray(content, np.int32).tobytes()
    return hashlib.blake2b(whole, digest_size=16).hexdigest()
