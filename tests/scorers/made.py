"""Small stores, and a model of known losses, that the tests of this room share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy import ndarray

from tests.data.made import MadeSource
from windtunnel.data.passages import Passages
from windtunnel.data.source import Document
from windtunnel.data.store import Store, open_store
from windtunnel.data.tokenizer import Bytes
from windtunnel.interfaces import IGNORE_INDEX


def made_passages(cache: Path, texts: list[str], spec: Any = None) -> Passages:
    """A store that trains on `texts`, in some order; built once where a token is a byte."""
    if spec is None:
        return Passages(_of_bytes(tuple(texts)))
    return Passages(_store(cache, texts, spec))


@cache
def _of_bytes(texts: tuple[str, ...]) -> Store:
    return _store(Path(mkdtemp(dir=os.environ["WINDTUNNEL_TEST_HOME"])), texts, Bytes())


def _store(cache: Path, texts: Sequence[str], spec: Any) -> Store:
    documents = [Document("made", text, text, "train") for text in texts]
    documents.append(Document("made", "what is held out", "held out", "held_out"))
    source = MadeSource(documents)
    return open_store(source, spec, held_out=0.1, cache=cache, progress=None)


def scored(scorer: Any, passages: Passages) -> dict[str, list[float]]:
    """Scores of all documents by their text."""
    scorer.fit(passages)
    values = scorer(list(passages))
    assert values.shape == (len(passages), len(scorer.columns))
    return {p.text: row for p, row in zip(passages, values.tolist(), strict=True)}


class Sums:
    """A model whose loss of a token is `scale` x (the token + half of the one before it)."""

    def __init__(self, *, length: int, scale: float = 1.0) -> None:
        self.length, self.scale = length, scale
        self.shapes: list[tuple[int, ...]] = []

    def nats(self, rows_BT: ndarray) -> ndarray:
        self.shapes.append(rows_BT.shape)
        assert rows_BT.shape[1] <= self.length + 1
        losses_BT = self.scale * (rows_BT[:, 1:] + 0.5 * rows_BT[:, :-1])
        return np.where(rows_BT[:, 1:] == IGNORE_INDEX, 0, losses_BT)
