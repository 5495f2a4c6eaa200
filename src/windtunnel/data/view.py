"""Documents in a given order as token streams of their own, without a copy of the corpus.

A group is a list of documents. Its stream is their tokens one after the other and then from the
start again, without end, cut into rows of `length` + 1 tokens of which neighbours share one. Group
g has ceil(tokens_g / length) rows, so that a pass over them shows every token; the last row goes
on into the group's beginning. Rows count through all groups: those of group g begin at
`offsets[g]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents

_STRIDE = 32  # of so many documents the first one's place is kept: memory against time
_CHUNK = _STRIDE * 2**13  # documents that are counted at once


class View:
    """Rows of groups of documents.

    groups: document numbers of each group, in the order in which they are laid out.
    """

    def __init__(self, documents: Documents, groups: Sequence[ndarray], length: int) -> None:
        self.length = length
        self._documents = documents
        self._groups = [group.astype(np.int32, copy=False) for group in groups]
        self._marks = [_marks(documents, group) for group in self._groups]
        self.n_documents = [len(group) for group in self._groups]
        self.n_tokens = np.array([marks[-1] for marks in self._marks], np.int64)
        self.n_rows = -(-self.n_tokens // length)
        self.offsets = np.concatenate([[0], np.cumsum(self.n_rows)])

    def window(self, row: int) -> tuple[ndarray, int]:
        """Tokens of a row [length + 1], and the number of the document that it begins in."""
        stream, firsts = self._documents.stream, self._documents.firsts
        pieces = list(self.pieces(row))
        parts = [stream[firsts[d] + skip : firsts[d] + skip + n] for d, skip, n in pieces]
        return np.concatenate(parts).astype(np.int64), pieces[0][0]

    def pieces(self, row: int) -> Iterator[tuple[int, int, int]]:
        """What a row is made of: document, first token in it, how many tokens."""
        group = int(np.searchsorted(self.offsets, row, side="right")) - 1
        documents, marks = self._groups[group], self._marks[group]
        place = (row - self.offsets[group]) * self.length
        mark = int(np.searchsorted(marks[:-1], place, side="right")) - 1
        skip, left = int(place - marks[mark]), self.length + 1
        i = mark * _STRIDE
        while left:
            here = np.take(documents, np.arange(i, i + _STRIDE), mode="wrap")
            n_tokens = self._documents.n_tokens(here)
            for document, n in zip(here.tolist(), n_tokens.tolist(), strict=True):
                if skip < n and left:
                    taken = min(n - skip, left)
                    yield document, skip, taken
                    left -= taken
                skip = max(skip - n, 0)
            i += _STRIDE


def _marks(documents: Documents, group: ndarray) -> ndarray:
    """Tokens of the group before every `_STRIDE`-th document, and in all."""
    sums = [np.zeros(1, np.int64)]
    for i in range(0, len(group), _CHUNK):
        n_tokens = documents.n_tokens(group[i : i + _CHUNK])
        sums.append(np.add.reduceat(n_tokens, np.arange(0, len(n_tokens), _STRIDE)))
    return np.cumsum(np.concatenate(sums))
