from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.best_fit import best_fit, cut, pack


def one_by_one(lengths: list[int], capacity: int) -> list[list[int]]:
    """Each piece into the row of least room, the first of them."""
    rows: list[list[int]] = []
    for n in sorted(lengths, reverse=True):
        fitting = [row for row in rows if capacity - sum(row) >= n]
        if fitting:
            min(fitting, key=lambda row: capacity - sum(row)).append(n)
        else:
            rows.append([n])
    return rows


def by_row(lengths: list[int], capacity: int) -> list[list[int]]:
    rows = best_fit(np.array(lengths, np.int64), capacity)
    found: list[list[int]] = [[] for _ in range(rows.max() + 1)] if len(rows) else []
    for row, n in zip(rows.tolist(), lengths, strict=True):
        found[row].append(n)
    return found


def test_the_golden_fills_four_rows() -> None:
    lengths = [7, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert by_row(lengths, 8) == [[7, 1], [5, 3], [4, 4], [3, 2, 2, 1]]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.data())
def test_rows_have_the_rooms_of_placing_one_by_one(capacity: int, data: st.DataObject) -> None:
    """Rows of equal room are alike, so which of them is taken does not matter to what is left."""
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=60))
    found, expected = by_row(lengths, capacity), one_by_one(lengths, capacity)
    assert sorted(map(sum, found)) == sorted(map(sum, expected))
    assert all(0 < sum(row) <= capacity for row in found)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 12))
def test_pieces_cover_their_documents(n_tokens: list[int], capacity: int) -> None:
    lengths = np.array(n_tokens, np.int64)
    firsts = np.cumsum(lengths) - lengths
    starts, pieces = cut(firsts, lengths, capacity)
    covered = [t for start, n in zip(starts, pieces, strict=True) for t in range(start, start + n)]
    assert covered == list(range(sum(n_tokens)))
    assert all(0 < n <= capacity for n in pieces)
    assert len(pieces) == sum(-(-n // capacity) for n in n_tokens)


def test_packed_rows_hold_every_piece_once_the_longest_first() -> None:
    n_tokens = np.array([3, 17, 8, 1, 5, 30])
    rows = pack(np.cumsum(n_tokens) - n_tokens, n_tokens, 8)
    assert sorted(rows.pieces.tolist()) == list(range(len(rows.starts)))
    assert rows.offsets[0] == 0
    assert rows.offsets[-1] == len(rows.pieces)
    for first, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        own = rows.lengths[rows.pieces[first:end]].tolist()
        assert 0 < sum(own) <= 8
        assert own == sorted(own, reverse=True)


def test_a_million_documents_take_seconds() -> None:
    lengths = np.random.default_rng(0).integers(1, 257, 1_000_000)
    started = time.process_time()
    rows = best_fit(lengths, 256)
    assert time.process_time() - started < 10
    filled = lengths.sum() / ((rows.max() + 1) * 256)
    assert filled > 0.99
