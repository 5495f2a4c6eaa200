from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.scored import table
from windtunnel.data.order import Folded, Interleaved, Paced, Shuffled, Sorted
from windtunnel.data.pacing import linear


@pytest.fixture(scope="module")
def documents() -> Any:
    return table()


def visited(order: Any, visits: Any, n_rows: int, seed: tuple[int, int] = (1, 0)) -> list[int]:
    numbers = np.asarray(visits)
    return order.rows(numbers, np.minimum(numbers / 100, 1), n_rows, seed).tolist()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("score", ["quality", "wave"])
def test_sorts_by_score_and_ties_by_number(documents: Any, score: str, descending: bool) -> None:
    group = np.flatnonzero(np.asarray(documents.domains) == 1)
    laid = Sorted(score=score, descending=descending).lay(documents, group)
    sign = -1 if descending else 1
    values = documents.score(score)
    assert laid.tolist() == sorted(group.tolist(), key=lambda i: (sign * values[i], i))


def test_what_has_no_score_is_left_out(documents: Any) -> None:
    laid = Sorted(score="gaps", descending=False).lay(documents, np.arange(len(documents)))
    assert sorted(laid) == list(range(0, len(documents), 2))


def test_sorted_rows_come_in_order_pass_after_pass() -> None:
    order = Sorted(score="wave", descending=False)
    assert visited(order, range(3, 12), 5) == [3, 4, 0, 1, 2, 3, 4, 0, 1]


@given(folds=st.integers(1, 60), n=st.integers(1, 42))
@settings(max_examples=40, deadline=None)
def test_folds_each_run_through_the_scores(documents: Any, folds: int, n: int) -> None:
    group = np.arange(n)
    laid = Folded(score="wave", descending=False, folds=folds).lay(documents, group)
    assert sorted(laid) == list(range(n))
    values = documents.score("wave")[laid]
    falls = np.flatnonzero(np.diff(values) < 0) + 1
    runs = np.diff([0, *falls, n])
    assert len(runs) <= min(folds, n)
    if folds <= n:
        assert np.ptp([len(group[i::folds]) for i in range(folds)]) <= 1
    if folds in (1, n):
        assert (np.diff(values) >= 0).all()


def test_folding_by_hand(documents: Any) -> None:
    by_score = Sorted(score="wave", descending=True).lay(documents, np.arange(7)).tolist()
    a, b, c, d, e, f, g = by_score
    folded = Folded(score="wave", descending=True, folds=3).lay(documents, np.arange(7))
    assert folded.tolist() == [a, d, g, b, e, c, f]
    mixed = Interleaved(score="wave", descending=True, bands=3).lay(documents, np.arange(7))
    assert mixed.tolist() == [a, d, f, b, e, g, c]


@given(bands=st.integers(1, 50), n=st.integers(1, 42))
@settings(max_examples=40, deadline=None)
def test_bands_are_all_there_all_along(documents: Any, bands: int, n: int) -> None:
    order = Interleaved(score="wave", descending=False, bands=bands)
    laid = order.lay(documents, np.arange(n))
    assert sorted(laid) == list(range(n))
    rank = np.argsort(np.argsort(documents.score("wave")[laid]))
    band = np.repeat(np.arange(bands), [len(b) for b in np.array_split(np.arange(n), bands)])[rank]
    for own in range(bands):
        assert (np.diff(rank[band == own]) > 0).all()
        counts = np.cumsum(band == own)
        even = np.arange(1, n + 1) * (band == own).sum() / n
        assert np.abs(counts - even).max() <= 2


def test_shuffled_rows_are_a_permutation_of_each_pass_and_group() -> None:
    order = Shuffled()
    passes = np.array(visited(order, range(90), 30)).reshape(3, 30)
    assert all(sorted(rows) == list(range(30)) for rows in passes)
    assert len({tuple(rows) for rows in passes}) == 3
    others = [visited(order, range(30), 30, seed) for seed in ((1, 1), (2, 0))]
    assert passes[0].tolist() not in others
    assert others[0] != others[1]
    parts = [visited(order, [k], 30)[0] for k in range(90)]
    assert parts == passes.ravel().tolist()


def test_paced_draws_are_even_over_what_is_available(documents: Any) -> None:
    order = Paced(score="wave", descending=False, pacing=partial(linear, start=0.1, until=1.0))
    laid = order.lay(documents, np.arange(9)).tolist()
    assert laid == Sorted(score="wave", descending=False).lay(documents, np.arange(9)).tolist()
    visits = np.arange(20_000)
    for share, available in ((0.0, 2), (0.25, 7), (1.0, 20)):
        rows = order.rows(visits, np.full(len(visits), share), 20, (1, 0))
        counts = np.bincount(rows, minlength=20)
        assert (counts[available:] == 0).all()
        expected = len(visits) / available
        assert ((counts[:available] - expected) ** 2 / expected).sum() < 3 * available + 10
    assert visited(order, range(9), 20) != visited(order, range(9), 20, (2, 0))
    assert visited(order, range(50), 20) != visited(order, range(50), 20, (1, 1))


@pytest.mark.parametrize(("order", "count"), [(Folded, {"folds": 0}), (Interleaved, {"bands": 0})])
def test_bad_counts_are_refused(order: Any, count: dict[str, int]) -> None:
    (name,) = count
    with pytest.raises(ValueError, match=rf"sampler\.order\.{name}: expected at least 1, got 0"):
        order(score="wave", descending=False, **count)
