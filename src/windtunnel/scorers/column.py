"""Scores that a user has already: a column of a CSV or Parquet file, brought into a store's order.

A row belongs to a document by its number in the store, by its name (see `Passage.name`), or by its
text. Words, such as the names of domains that a rater gave, become numbers in alphabetical order.
Rows of documents that are not trained on are left aside; a document without a row is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages, name_of

By = Literal["number", "name", "text"]
_SHOWN = 3


class Column:
    """Values of `values` in `file`, whose rows name documents in the column `key`."""

    level = "document"
    columns = ("",)

    def __init__(self, *, file: str, values: str, by: By, key: str) -> None:
        if by not in ("number", "name", "text"):
            raise ValueError(
                f"scorer.by: expected number, name or text, got {by!r}; say what the column "
                "scorer.key holds"
            )
        self._file, self._by = file, by
        keys, self._values, self.categories = _read(Path(file).expanduser(), key, values)
        named = [name_of(str(k)) for k in keys] if by == "text" else list(map(str, keys))
        self._rows = {name: i for i, name in enumerate(named)}
        if len(self._rows) < len(named):
            twice = [name for name, n in Counter(named).items() if n > 1][:_SHOWN]
            raise ValueError(
                f"scorer.key: expected each document once in column {key!r} of {file}, got "
                f"{', '.join(twice)} more than once; leave one row for each"
            )

    def fit(self, passages: Passages) -> None:
        """Refuses a file in which documents are missing."""
        lost = [p.number for p in passages if self._name(p) not in self._rows]
        if lost:
            raise ValueError(
                f"scorer.file: expected a row for each of the {len(passages)} documents, got none "
                f"in {self._file} for {len(lost)} of them by {self._by}, such as number "
                f"{', '.join(map(str, lost[:_SHOWN]))}; add them, or choose another scorer.by"
            )

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        return np.array([[self._values[self._rows[self._name(p)]]] for p in passages])

    def _name(self, passage: Passage) -> str:
        return str(passage.number) if self._by == "number" else passage.name


def _read(file: Path, key: str, values: str) -> tuple[list[Any], ndarray, list[str]]:
    """Keys, values as numbers, and the words that the numbers stand for, if any."""
    import pyarrow as pa  # slow to import, and most runs do without
    from pyarrow import csv, parquet

    try:
        is_parquet = file.suffix == ".parquet"
        table = parquet.read_table(file) if is_parquet else csv.read_csv(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"scorer.file: expected a CSV or Parquet file, got {file}, which cannot be read "
            f"({error}); check the path"
        ) from error
    for setting, name in (("scorer.key", key), ("scorer.values", values)):
        if name not in table.column_names:
            raise ValueError(
                f"{setting}: expected a column of {file}, {', '.join(table.column_names)}, got "
                f"{name!r}; choose one of them"
            )
    found = table[values]
    if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
        words = sorted({word for word in found.to_pylist() if word is not None})
        places = {word: float(i) for i, word in enumerate(words)}
        numbers = [places.get(word, np.nan) for word in found.to_pylist()]
        return table[key].to_pylist(), np.array(numbers), words
    return table[key].to_pylist(), found.to_numpy().astype(float), []
