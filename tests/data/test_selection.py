from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.scored import table
from windtunnel.data.selection import Band, Random, Softmax, Threshold, Top


@pytest.fixture(scope="module")
def documents() -> Any:
    return table()


def strata(documents: Any, by_domain: bool) -> list[np.ndarray]:
    if by_domain:
        return [np.flatnonzero(documents.domains == i) for i in range(3)]
    return [np.arange(len(documents))]


SHARED = {
    "top": lambda f, d: Top(score="wave", fraction=f, lowest=False, by_domain=d),
    "lowest": lambda f, d: Top(score="quality", fraction=f, lowest=True, by_domain=d),
    "softmax": lambda f, d: Softmax(score="wave", fraction=f, temperature=2.0, by_domain=d),
    "random": lambda f, d: Random(fraction=f, by_domain=d),
}


@given(
    kind=st.sampled_from(sorted(SHARED)),
    fraction=st.floats(0.001, 1.0),
    by_domain=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_keeps_the_share_of_tokens_within_one_document(
    documents: Any, kind: str, fraction: float, by_domain: bool, seed: int
) -> None:
    kept = SHARED[kind](fraction, by_domain)(documents, seed)
    assert kept.tolist() == sorted(set(kept.tolist()))
    for group in strata(documents, by_domain):
        lengths = documents.n_tokens(group)
        own = lengths[np.isin(group, kept)]
        wanted = fraction * lengths.sum()
        assert own.sum() > wanted - 1
        assert own.sum() - lengths.max() < wanted + 1


@pytest.mark.parametrize("by_domain", [False, True])
def test_top_takes_the_best(documents: Any, by_domain: bool) -> None:
    values = documents.score("wave")
    for lowest in (False, True):
        top = Top(score="wave", fraction=0.4, lowest=lowest, by_domain=by_domain)
        kept = top(documents, 1)
        for group in strata(documents, by_domain):
            inside, outside = values[np.intersect1d(group, kept)], values[np.setdiff1d(group, kept)]
            assert inside.max() < outside.min() if lowest else inside.min() > outside.max()


def test_ties_are_taken_in_the_order_of_the_store(documents: Any) -> None:
    values = documents.score("quality")
    kept = Top(score="quality", fraction=0.3, lowest=False, by_domain=False)(documents, 1)
    last = values[kept].min()
    tied = np.flatnonzero(values == last)
    n_kept = int((values[kept] == last).sum())
    assert 0 < n_kept < len(tied)
    assert np.isin(tied, kept)[:n_kept].all()


def test_what_has_no_score_is_never_taken(documents: Any) -> None:
    for selection in (
        Top(score="gaps", fraction=0.9, lowest=True, by_domain=False),
        Top(score="gaps", fraction=0.9, lowest=False, by_domain=True),
        Softmax(score="gaps", fraction=0.9, temperature=9.0, by_domain=False),
        Threshold(score="gaps", low=None, high=None),
        Band(score="gaps", low=0.0, high=1.0, by_domain=True),
    ):
        assert selection(documents, 1).tolist() == list(range(0, len(documents), 2))


def test_threshold_has_two_bounds(documents: Any) -> None:
    values = documents.score("quality")
    for low, high in ((1.0, 3.0), (None, 2.0), (4.0, None)):
        kept = Threshold(score="quality", low=low, high=high)(documents, 1)
        wanted = [
            i
            for i, v in enumerate(values)
            if (low is None or v >= low) and (high is None or v <= high)
        ]
        assert kept.tolist() == wanted


@given(cuts=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), by_domain=st.booleans())
@settings(max_examples=40, deadline=None)
def test_bands_part_the_documents(
    documents: Any, cuts: tuple[float, float], by_domain: bool
) -> None:
    low, high = sorted(cuts)
    bounds = [0.0, low, *([high] if high > low else []), 1.0]
    bands = [
        Band(score="wave", low=a, high=b, by_domain=by_domain)(documents, 1)
        for a, b in itertools.pairwise(bounds)
    ]
    assert sorted(np.concatenate(bands)) == list(range(len(documents)))
    values = documents.score("wave")
    for group in strata(documents, by_domain):
        parts = [values[np.intersect1d(group, band)] for band in bands]
        for part, (a, b) in zip(parts, itertools.pairwise(bounds), strict=True):
            assert abs(len(part) - (b - a) * len(group)) <= 1
        filled = [part for part in parts if len(part)]
        for below, above in itertools.pairwise(filled):
            assert below.max() < above.min()


def test_softmax_draws_in_proportion(documents: Any) -> None:
    n = len(documents)
    values = documents.score("wave").astype(float)
    z = (values - values.mean()) / values.std()
    p = np.exp(z / 0.7) / np.exp(z / 0.7).sum()
    first = Softmax(score="wave", fraction=1e-9, temperature=0.7, by_domain=False)
    draws = 4000
    counts = np.bincount([int(first(documents, seed)[0]) for seed in range(draws)], minlength=n)
    chi2 = ((counts - draws * p) ** 2 / (draws * p)).sum()
    assert chi2 < n + 4 * np.sqrt(2 * n)


def test_temperature_goes_from_the_highest_to_an_even_draw(documents: Any) -> None:
    top = Top(score="wave", fraction=0.3, lowest=False, by_domain=True)(documents, 5)
    cold = Softmax(score="wave", fraction=0.3, temperature=1e-6, by_domain=True)(documents, 5)
    hot = Softmax(score="wave", fraction=0.3, temperature=1e9, by_domain=True)(documents, 5)
    even = Random(fraction=0.3, by_domain=True)(documents, 5)
    assert cold.tolist() == top.tolist()
    assert hot.tolist() == even.tolist()
    other = Random(fraction=0.3, by_domain=True)(documents, 6)
    assert even.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Random(fraction=0.0, by_domain=False), r"fraction: expected above 0 .* got 0\.0"),
        (lambda: SHARED["top"](1.5, False), r"fraction: expected above 0 and up to 1, got 1\.5"),
        (
            lambda: Softmax(score="wave", fraction=0.5, temperature=0.0, by_domain=False),
            r"temperature: expected above 0, got 0\.0",
        ),
        (
            lambda: Band(score="wave", low=0.4, high=0.4, by_domain=False),
            r"low, high: expected 0 <= low < high <= 1, got 0\.4 and 0\.4",
        ),
    ],
)
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sampler\.selection\.{message}"):
        make()
