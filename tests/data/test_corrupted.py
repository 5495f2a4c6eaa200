from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made import MadeSource, made_documents
from windtunnel.data.corrupted import Corrupted, move_words
from windtunnel.data.source import Document

SHARES = [0.0, 0.1, 0.3, 0.6]


def made_corrupted(documents: list[Document] | None = None, **changes: Any) -> Corrupted:
    source = MadeSource(made_documents(800) if documents is None else documents)
    values: dict[str, Any] = {"source": source, "shares": SHARES, "held_out": 0.2, "seed": 0}
    return Corrupted(**{**values, **changes})


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(["  ", "\n", " \t", " "]), max_size=30),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_so_many_words_change_places_and_the_white_space_stays(
    gaps: list[str], share: float, seed: int
) -> None:
    words = [f"word{i}" for i in range(len(gaps))]
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    moved = move_words(text, share, np.random.default_rng(seed))
    assert re.findall(r"\s+", moved) == re.findall(r"\s+", text)
    found = moved.split()
    assert Counter(found) == Counter(words)
    n_moved = sum(a != b for a, b in zip(found, words, strict=True))
    n_asked = round(share * len(words))
    assert n_moved == (0 if n_asked == 1 else n_asked)


def test_qualities_are_as_frequent_as_one_another_and_true() -> None:
    given_texts = {d.group: str(d.content) for d in made_documents(800)}
    found = Counter()
    for document, quality in made_corrupted().with_quality():
        own, moved = given_texts[document.group].split(), str(document.content).split()
        share = sum(a != b for a, b in zip(own, moved, strict=True)) / len(own)
        if document.split == "held_out":
            assert (quality, share) == (1.0, 0.0)
            continue
        assert document.split == "train"
        assert share <= 1 - quality + 1 / len(own)
        assert share >= 0.7 * (1 - quality) - 1 / len(own)  # the words repeat in so small a world
        found[round(quality, 2)] += 1
    n = found.total()
    assert n == pytest.approx(0.8 * 800, abs=4 * np.sqrt(800 * 0.16))
    assert set(found) == {1.0, 0.9, 0.7, 0.4}
    for count in found.values():
        assert count == pytest.approx(n / 4, abs=4 * np.sqrt(n * 3 / 16))


def test_a_group_is_held_out_as_a_whole_and_stated_splits_are_kept() -> None:
    documents = [Document("a", f"text {i} of many words", f"group {i // 4}") for i in range(400)]
    splits: dict[str, set[str]] = {}
    for document in made_corrupted(documents).documents():
        splits.setdefault(document.group, set()).add(document.split)
    assert {len(own) for own in splits.values()} == {1}
    assert len({own.pop() for own in splits.values()}) == 2
    stated = [Document("a", "x y", "g", "held_out"), Document("a", "z w", "g", "train")]
    assert [d.split for d in made_corrupted(stated).documents()] == ["held_out", "train"]


def test_the_same_settings_give_the_same_text() -> None:
    one, again, other = (list(made_corrupted(seed=s).documents()) for s in (0, 0, 1))
    assert one == again
    assert one != other
    source = made_corrupted()
    assert source.listing() == made_corrupted().listing()
    assert source.listing() != made_corrupted(shares=[0.5]).listing()
    assert source.facts() == {"made": True, "corrupted": SHARES}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shares": []}, r"data\.shares: expected shares of words from 0 to 1, got \[\]"),
        ({"shares": [0.0, 1.5]}, r"got \[0.0, 1.5\]"),
        ({"source": MadeSource([], vocab_size=9)}, "expected a source of text"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_corrupted(**changes)
