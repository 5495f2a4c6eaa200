"""The quality that a source planted: what is known of its documents because it made them so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from windtunnel.data.corrupted import Corrupted
from windtunnel.data.passages import Passage, Passages, name_of
from windtunnel.data.source import Source
from windtunnel.interfaces import Scorer

_SHOWN = 3


class Planted:
    """1 less the share of a document's words that are out of place, from 0 to 1.

    Text that nothing was planted in is scored by `otherwise`, which `notes` says.
    """

    level = "document"
    columns = ("",)

    def __init__(self, *, source: Source, otherwise: Scorer | None) -> None:
        """Refuses a source that plants no quality where nothing scores documents `otherwise`."""
        self.notes: list[str] = []
        if isinstance(source, Corrupted):
            self._scorer: Scorer = _Known(source)
        elif otherwise is None:
            raise ValueError(
                f"scorer: expected a source of planted quality, got {type(source).__name__}; set "
                "data=planted, or choose another scorer"
            )
        else:
            if (otherwise.level, tuple(otherwise.columns)) != (self.level, self.columns):
                raise ValueError(
                    "scorer.part.otherwise: expected one number for each document, got columns "
                    f"{list(otherwise.columns)} by {otherwise.level}; choose another scorer"
                )
            self._scorer = otherwise
            self.notes.append(
                "no quality is planted in this text: scorer.part.otherwise scored it (how little "
                "zlib can compress a document, unless told otherwise), and larger comes last"
            )

    def fit(self, passages: Passages) -> None:
        """Reads the source again, and refuses a store of other documents."""
        self._scorer.fit(passages)

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        return self._scorer(passages)


class _Known:
    level = "document"
    columns = ("",)

    def __init__(self, source: Corrupted) -> None:
        self._source = source
        self._quality: dict[str, float] = {}

    def fit(self, passages: Passages) -> None:
        found = self._source.with_quality()
        self._quality = {name_of(str(d.content)): quality for d, quality in found}
        lost = [passage.number for passage in passages if passage.name not in self._quality]
        if lost:
            raise ValueError(
                f"scorer: expected the documents of the source, got {len(lost)} of another in the "
                f"store, such as number {', '.join(map(str, lost[:_SHOWN]))}; the text has changed "
                "since the store was built, or the tokenizer does not give back what it took"
            )

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        return np.array([[self._quality[passage.name]] for passage in passages])
