from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

from tests.data.made import made_documents
from tests.scorers.made import made_passages
from windtunnel.data.packing import TRAIN
from windtunnel.data.passages import Passage, Passages
from windtunnel.tasks import score as task
from windtunnel.tasks.score import forget, score


class Counting:
    """Scores a document by its number and length, and stops at the part `stop_at`."""

    columns = ("_number", "_length")

    def __init__(self, *, level: str = "document", stop_at: int | None = None) -> None:
        self.level, self.stop_at, self.n_calls, self.is_fit = level, stop_at, 0, False

    def fit(self, passages: Passages) -> None:
        self.is_fit = True

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        assert self.is_fit
        if self.n_calls == self.stop_at:
            raise KeyboardInterrupt
        self.n_calls += 1
        if self.level == "token":
            ids = np.concatenate([p.ids[1:] for p in passages]).astype(float)
            return np.stack([ids, -ids], 1)
        return np.array([[p.number, len(p.own)] for p in passages], float)


@pytest.fixture
def passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Passages:
    monkeypatch.setattr(task, "PART_TOKENS", 1000)
    return made_passages(tmp_path / "cache", [str(d.content) for d in made_documents(30)])


def done(passages: Passages, scorer: Counting, folder: Path, inside: ndarray | None = None):
    told: list[tuple[int, int]] = []
    chosen = np.ones(len(passages), bool) if inside is None else inside
    values = score(passages, scorer, folder, inside=chosen, say=lambda *a: told.append(a))
    return values, told


def test_every_document_has_its_scores_in_the_order_of_the_store(
    passages: Passages, tmp_path: Path
) -> None:
    scorer = Counting()
    values, told = done(passages, scorer, tmp_path / "job")
    assert values.tolist() == [[p.number, len(p.own)] for p in passages]
    n_tokens = int(passages.lengths.sum())
    assert scorer.n_calls == len(told) == n_tokens // 1000 + 1
    assert told[-1] == (n_tokens, n_tokens)
    assert all(a < b for (a, _), (b, _) in pairwise(told))


def test_a_stopped_job_scores_only_what_is_left(passages: Passages, tmp_path: Path) -> None:
    whole, told = done(passages, Counting(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        done(passages, Counting(stop_at=2), tmp_path / "job")
    rest = Counting()
    values, _ = done(passages, rest, tmp_path / "job")
    assert rest.n_calls == len(told) - 2
    assert (values == whole).all()
    forget(tmp_path / "job")
    assert not (tmp_path / "job/parts").exists()


def test_parts_of_another_store_are_not_taken(passages: Passages, tmp_path: Path) -> None:
    done(passages, Counting(), tmp_path / "job")
    texts = [str(d.content) for d in made_documents(31)]
    other = made_passages(tmp_path / "other", texts)
    values, _ = done(other, Counting(), tmp_path / "job")
    assert values.tolist() == [[p.number, len(p.own)] for p in other]


def test_what_is_not_asked_for_is_left_out(passages: Passages, tmp_path: Path) -> None:
    inside = np.arange(len(passages)) % 3 == 0
    values, told = done(passages, Counting(), tmp_path / "job", inside)
    assert (values[~inside] == -np.inf).all()
    assert values[inside, 0].tolist() == np.flatnonzero(inside).tolist()
    assert told[-1][1] == passages.lengths[inside].sum()


def test_scores_of_tokens_stand_at_their_places_in_the_stream(
    passages: Passages, tmp_path: Path
) -> None:
    values, _ = done(passages, Counting(level="token"), tmp_path / "job")
    stream = passages.store.stream(TRAIN).astype(float)
    assert values[0].tolist() == [0, 0]
    assert values[1:, 0].tolist() == stream[1:].tolist()
    assert values[1:, 1].tolist() == (-stream[1:]).tolist()


def test_nothing_to_score_and_empty_documents_are_refused(
    passages: Passages, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"scorer\.among: expected bounds .* got none of 30"):
        done(passages, Counting(), tmp_path / "job", np.zeros(len(passages), bool))
    passages.lengths[[4, 7]] = 0
    with pytest.raises(ValueError, match="got 2 empty ones, such as number 4, 7 of the store"):
        done(passages, Counting(), tmp_path / "job")
    inside = passages.lengths > 0
    assert (done(passages, Counting(), tmp_path / "job", inside)[0][4] == -np.inf).all()
