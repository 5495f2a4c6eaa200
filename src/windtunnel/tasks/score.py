"""Scores every training document of a store, part by part, so that a stopped job goes on.

A part is a run of documents of about `PART_TOKENS` tokens. What it gave is kept as
`parts/STORE/NUMBER.npy` in the job's folder until the whole is written; a job that starts again
scores only the parts that are not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages
from windtunnel.files import replacing
from windtunnel.interfaces import Scorer

PARTS = "parts"
PART_TOKENS = 2**17
_SHOWN = 5


def score(
    passages: Passages,
    scorer: Scorer,
    folder: Path,
    *,
    inside: ndarray,
    say: Callable[[int, int], None],
) -> ndarray:
    """Scores [n, columns] of all documents, or of all tokens of the stream.

    Args:
        passages: the documents.
        scorer: what scores them; it is fitted first.
        folder: of the job, where parts are kept.
        inside: which documents to score [n]; the others get -inf.
        say: told how many tokens are done, out of how many.

    Raises:
        ValueError: a document has nothing in it, or none is to be scored.
    """
    numbers = np.flatnonzero(inside)
    _check(passages, numbers)
    scorer.fit(passages)
    home = folder / PARTS / passages.store.meta["store"]
    lengths = passages.lengths[numbers]
    parts = np.split(numbers, np.flatnonzero(np.diff(np.cumsum(lengths) // PART_TOKENS)) + 1)
    found, done = [], 0
    for i, part in enumerate(parts):
        chosen = [passages[int(number)] for number in part]
        found.append(_kept(home / f"{i:06d}.npy", scorer, chosen))
        done += int(passages.lengths[part].sum())
        say(done, int(lengths.sum()))
    return _whole(passages, scorer, numbers, np.concatenate(found))


def forget(folder: Path) -> None:
    """Removes the parts of a job whose columns are written."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def _kept(file: Path, scorer: Scorer, passages: Sequence[Passage]) -> ndarray:
    """What an earlier try of the job found, else what the scorer finds now.

    What is no number is not kept: the column will be refused, and the next try may do better.
    """
    if file.is_file():
        return np.load(file)
    values = scorer(passages)
    if not np.isnan(values).any():
        with replacing(file) as part, part.open("wb") as stream:
            np.save(stream, values)
    return values


def _whole(passages: Passages, scorer: Scorer, numbers: ndarray, values: ndarray) -> ndarray:
    """Scores in the store's order."""
    if scorer.level == "document":
        whole = np.full((len(passages), len(scorer.columns)), -np.inf)
        whole[numbers] = values
        return whole
    documents = passages.documents
    whole = np.zeros((len(documents.stream), len(scorer.columns)))
    chosen = (passages[int(number)] for number in numbers)
    places = [
        documents.firsts[passage.number] + np.arange(1, len(passage.ids)) for passage in chosen
    ]
    whole[np.concatenate(places)] = values
    return whole


def _check(passages: Passages, numbers: ndarray) -> None:
    if not len(numbers):
        raise ValueError(
            "scorer.among: expected bounds that leave documents to score, got none of "
            f"{len(passages)}; widen them"
        )
    empty = numbers[passages.lengths[numbers] < 1]
    if len(empty):
        shown = ", ".join(map(str, empty[:_SHOWN]))
        raise ValueError(
            f"data: expected documents with text to score, got {len(empty)} empty ones, such as "
            f"number {shown} of the store {passages.store.folder}; leave them out of the source"
        )
