from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made import made_store
from windtunnel.data import view
from windtunnel.data.documents import Documents
from windtunnel.data.order import Shuffled
from windtunnel.data.view import View


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return Documents(made_store(tmp_path_factory.mktemp("cache")))


def texts(documents: Documents) -> list[np.ndarray]:
    """The tokens of each document, by an obvious way."""
    bounds = [*documents.firsts.tolist(), documents.end]
    return [documents.stream[a:b] for a, b in itertools.pairwise(bounds)]


def test_documents_know_their_lengths(documents: Documents) -> None:
    whole = texts(documents)
    assert sum(map(len, whole)) == len(documents.stream) - 1
    numbers = np.array([0, 3, len(documents) - 1, 3])
    assert documents.n_tokens(numbers).tolist() == [len(whole[i]) for i in numbers]
    assert documents.domain_names == ["a", "b", "c"]


@given(
    keys=st.integers(0, 2**31), n_groups=st.integers(1, 4), length=st.sampled_from([1, 7, 64, 5000])
)
@settings(max_examples=40, deadline=None)
def test_rows_cut_a_group_s_endless_stream(
    documents: Documents, keys: int, n_groups: int, length: int
) -> None:
    generator = np.random.default_rng(keys)
    numbers = generator.permutation(len(documents))
    cuts = np.sort(generator.choice(len(documents), n_groups - 1, replace=False))
    groups = np.split(numbers, cuts)
    view_ = View(documents, groups, length)
    whole = texts(documents)
    for g, group in enumerate(groups):
        if not len(group):
            assert view_.n_rows[g] == 0
            continue
        stream = np.concatenate([whole[i] for i in group])
        assert view_.n_tokens[g] == len(stream)
        assert (view_.n_rows[g] - 1) * length < len(stream) <= view_.n_rows[g] * length
        rows = np.arange(view_.n_rows[g])
        for row in rows if len(rows) < 9 else generator.choice(rows, 9):
            tokens, document = view_.window(int(view_.offsets[g] + row))
            places = np.arange(row * length, row * length + length + 1)
            assert tokens.tolist() == np.take(stream, places, mode="wrap").tolist()
            owners = np.repeat(group, [len(whole[i]) for i in group])
            assert document == owners[row * length]


def test_pieces_say_which_tokens_of_which_documents(documents: Documents) -> None:
    view_ = View(documents, [np.arange(len(documents))[::-1]], 300)
    whole = texts(documents)
    for row in range(int(view_.n_rows[0])):
        tokens, _ = view_.window(row)
        parts = [whole[d][skip : skip + n] for d, skip, n in view_.pieces(row)]
        assert all(map(len, parts))
        assert tokens.tolist() == np.concatenate(parts).tolist()


def test_marks_are_counted_in_chunks(documents: Documents, monkeypatch: Any) -> None:
    groups = [np.arange(len(documents))]
    view_ = View(documents, groups, 50)
    whole = [view_.window(row)[0].tolist() for row in range(int(view_.n_rows[0]))]
    monkeypatch.setattr(view, "_STRIDE", 2)
    monkeypatch.setattr(view, "_CHUNK", 6)
    parts = View(documents, groups, 50)
    assert [parts.window(row)[0].tolist() for row in range(len(whole))] == whole


class Many:
    """Ten million documents of 100 tokens, that are nowhere."""

    def __len__(self) -> int:
        return 10_000_000

    def n_tokens(self, numbers: np.ndarray) -> np.ndarray:
        return np.full(len(numbers), 100)


def test_a_shuffled_epoch_of_ten_million_documents_needs_little_memory() -> None:
    documents: Any = Many()
    tracemalloc.start()
    order = Shuffled()
    laid = order.lay(documents, np.arange(len(documents), dtype=np.int32))
    shuffled = View(documents, [laid], 256)
    n_rows = int(shuffled.n_rows[0])
    seen = np.zeros(n_rows // 1000, bool)
    for first in range(0, n_rows, n_rows // 100):
        visits = np.arange(first, min(first + 64, n_rows))
        rows = order.rows(visits, visits / n_rows, n_rows, (1, 0))
        seen[np.minimum(rows // 1000, len(seen) - 1)] = True
        assert sum(n for _, _, n in shuffled.pieces(int(rows[0]))) == 257
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.mean() > 0.5  # from everywhere
    assert peak < 100e6
