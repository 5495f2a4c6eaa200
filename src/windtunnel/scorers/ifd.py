"""Instruction-following difficulty: how much an instruction helps to foresee its response.

    IFD = exp(mean -ln p(y | x)) / exp(mean -ln p(y))

x is a document's text up to `marker` and with it, y the rest; both begin with a separator. Below 1,
the instruction helps. What does not fit into the model's length is cut off y.
Source: Li et al. 2023, arXiv 2308.12032, equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages
from windtunnel.data.tokenizer import Tokenizer
from windtunnel.scorers.windows import Model, nats_of


class Ifd:
    """IFD of a document; -inf of one that has no marker, or no response that can be read."""

    level = "document"
    columns = ("",)

    def __init__(self, *, model: Model, marker: str) -> None:
        if not marker:
            raise ValueError(
                "scorer.marker: expected the text that ends an instruction, got an empty one; give "
                "it, such as '### Response:'"
            )
        self._model, self._marker = model, marker

    def fit(self, passages: Passages) -> None:
        """Refuses ids that are no text."""
        if passages.store.meta["eot"] is None:
            raise ValueError(
                "scorer=ifd: expected text, in which scorer.marker can be found, got a source of "
                "token ids; use data=text"
            )

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        scores = np.full((len(passages), 1), -np.inf)
        pairs = [self._cut(passage) for passage in passages]
        known = [i for i, pair in enumerate(pairs) if pair is not None]
        chosen = [pair for pair in pairs if pair is not None]
        after_x = nats_of(self._model, [with_x for with_x, _ in chosen])
        alone = nats_of(self._model, [y for _, y in chosen])
        for i, given, free in zip(known, after_x, alone, strict=True):
            scores[i] = np.exp(given[-len(free) :].mean() - free.mean())
        return scores

    def _cut(self, passage: Passage) -> tuple[ndarray, ndarray] | None:
        """Ids of x and y, and of y alone, each behind a separator; None where there is no pair."""
        before, marker, after = passage.text.partition(self._marker)
        if not marker or not after.strip():
            return None
        tokenizer: Tokenizer = passage.tokenizer
        x, y = tokenizer.encode([before + marker, after])
        y = y[: self._model.length - len(x)] if len(x) < self._model.length else y[:0]
        start = np.array([tokenizer.eot])
        return (np.concatenate([start, x, y]), np.concatenate([start, y])) if len(y) else None
