"""The goldens are those of the source's rules, made with numpy 2.4."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.data.hop import Hop
from windtunnel.data.perturb import (
    KINDS,
    EvenOdd,
    Perturbation,
    ReverseControl,
    ReverseFull,
    ReversePartial,
    Shuffle,
    ShuffleDeterministic,
    ShuffleLocal,
    Unchanged,
    from_json,
    marked,
    order,
    reverse_partial,
    to_json,
)

R = 99
ON_TOKENS: list[Any] = [
    Unchanged(),
    Shuffle(0),
    ShuffleDeterministic(21),
    ShuffleLocal(window=3, seed=0),
    EvenOdd(),
    ReverseControl(21),
    ReversePartial(21),
    ReverseFull(21),
]
EVERY = [*ON_TOKENS, Hop(singular={"is": "be"}, plural={}, distance=4, unit="tokens")]


def of(perturbation: Perturbation, n: int, key: tuple[int, ...] = (7, 0)) -> list[int]:
    return perturbation(np.arange(n, dtype=np.int32), R, key).tolist()


@pytest.mark.parametrize(
    ("seed", "golden"),
    [
        (21, [1, 0, 4, 6, 7, 5, 8, 3, 9, 2]),
        (57, [3, 7, 6, 2, 9, 0, 8, 4, 1, 5]),
        (84, [7, 4, 0, 9, 1, 8, 2, 3, 5, 6]),
    ],
)
def test_one_order_for_each_length(seed: int, golden: list[int]) -> None:
    assert (
        of(ShuffleDeterministic(seed), 10) == of(ShuffleDeterministic(seed), 10, (8, 3)) == golden
    )


@pytest.mark.parametrize(
    ("window", "golden"),
    [
        (3, [2, 0, 1, 5, 3, 4, 8, 6, 7, 11, 9, 10]),
        (5, [2, 4, 3, 0, 1, 7, 9, 8, 5, 6, 10, 11]),
        (10, [4, 6, 2, 7, 3, 5, 9, 0, 8, 1, 10, 11]),
    ],
)
def test_one_order_within_stretches(window: int, golden: list[int]) -> None:
    assert of(ShuffleLocal(window=window, seed=0), 12) == golden


def test_the_shuffle_is_that_of_the_source_given_its_generator() -> None:
    """Its two first sentences of 8, from one generator; ours have one each, by their key."""
    running = np.random.default_rng(0)
    drawn = [running.permutation(np.arange(8)).tolist() for _ in range(2)]
    assert drawn == [[2, 4, 3, 6, 5, 0, 1, 7], [6, 2, 7, 4, 5, 1, 0, 3]]
    own = np.random.default_rng([0, 7, 1]).permutation(np.arange(8)).tolist()
    assert of(Shuffle(0), 8, (7, 1)) == own


def test_another_order_for_every_sentence_document_and_seed() -> None:
    first = of(Shuffle(0), 40)
    others = [of(Shuffle(0), 40, (7, 1)), of(Shuffle(0), 40, (8, 0)), of(Shuffle(1), 40)]
    assert all(other != first for other in others)
    assert of(Shuffle(0), 40) == first


def test_even_places_then_odd_ones() -> None:
    assert of(EvenOdd(), 7) == [0, 2, 4, 6, 1, 3, 5]


def test_reversals_of_the_source() -> None:
    ids, place = np.arange(8), int(np.random.default_rng(21).choice(9))
    assert place == 2
    assert reverse_partial(ids, R, place).tolist() == [0, 1, R, 7, 6, 5, 4, 3, 2]
    assert marked(ids, R, place)[::-1].tolist() == [7, 6, 5, 4, 3, 2, R, 1, 0]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 999)))
def test_reversals_share_their_markers(n: int, key: tuple[int, int]) -> None:
    control = of(ReverseControl(21), n, key)
    place = control.index(R)
    assert control == [*range(place), R, *range(place, n)]
    assert of(ReverseFull(21), n, key) == control[::-1]
    assert of(ReversePartial(21), n, key) == [*range(place), R, *range(n - 1, place - 1, -1)]


def test_markers_come_everywhere() -> None:
    places = {of(ReverseControl(21), 4, (k,)).index(R) for k in range(200)}
    assert places == {0, 1, 2, 3, 4}


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60))
def test_tokens_are_kept(n: int) -> None:
    for perturbation in ON_TOKENS:
        markers = [R] * perturbation.n_markers
        assert sorted(of(perturbation, n)) == [*range(n), *markers]
    assert of(Unchanged(), n) == list(range(n))


@pytest.mark.parametrize("perturbation", EVERY)
def test_comes_back_from_json(perturbation: Perturbation) -> None:
    again = from_json(json.loads(json.dumps(to_json(perturbation))))
    assert type(again) is type(perturbation)
    assert to_json(again) == to_json(perturbation)
    assert of(again, 20) == of(perturbation, 20)
    assert {type(each) for each in EVERY} == set(KINDS)


def test_an_order_is_a_permutation() -> None:
    assert sorted(order(50, 3).tolist()) == list(range(50))


def test_a_stretch_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"perturbation.window: expected at least 2 tokens, got 1"):
        ShuffleLocal(window=1, seed=0)
