from __future__ import annotations

import math
import random
from typing import Any

import pytest

from windtunnel.data.cleaning.near_copies import NearCopies, ngrams


def finder(**changes: Any) -> NearCopies:
    return NearCopies(**{"n": 1, "bands": 25, "rows": 10, "seed": 42, **changes})


def pair(i: int, similarity: float, n_words: int) -> tuple[str, str]:
    """Two texts whose sets of words have this Jaccard similarity, and no other's words."""
    shared = round(similarity * n_words)
    words = [f"p{i}w{j}" for j in range(n_words)]
    middle = (n_words + shared) // 2
    return " ".join(words[:middle]), " ".join(words[:shared] + words[middle:])


def test_ngrams_are_of_words_in_lower_case() -> None:
    assert ngrams("The cat, the CAT", 2) == {"the cat", "cat the"}
    assert ngrams("One two", 3) == {"one two"}
    assert ngrams("#!", 2) == {"#!"}


@pytest.mark.parametrize("similarity", [0.2, 0.7, 0.9])
def test_shares_of_equal_hashes_estimate_the_similarity(similarity: float) -> None:
    found = finder()
    n_hashes, errors = 250, []
    for i in range(40):
        a, b = (found.signature(text) for text in pair(i, similarity, 100))
        errors.append((a.hashvalues == b.hashvalues).mean() - similarity)
    sd = math.sqrt(similarity * (1 - similarity) / n_hashes)
    assert sum(map(abs, errors)) / len(errors) <= sd
    assert abs(sum(errors)) / len(errors) < 3 * sd / math.sqrt(len(errors))


@pytest.mark.parametrize(
    ("bands", "rows", "similarity", "golden"),
    [(25, 10, 0.5, 0.0241), (25, 10, 0.7, 0.5115), (25, 10, 0.8, 0.9416), (9, 27, 0.9, 0.4168)],
)
def test_pairs_are_found_as_often_as_the_curve_says(
    bands: int, rows: int, similarity: float, golden: float
) -> None:
    n_pairs = 200
    texts, copies = zip(*(pair(i, similarity, 100) for i in range(n_pairs)), strict=True)
    assert 1 - (1 - similarity**rows) ** bands == pytest.approx(golden, abs=5e-5)
    found = list(finder(bands=bands, rows=rows).among(copies, texts))
    share = found.count("held_out") / n_pairs
    assert abs(share - golden) < 3 * math.sqrt(golden * (1 - golden) / n_pairs)


def near_copy(text: str, share: float, seed: int) -> str:
    """The text with a share of its words exchanged."""
    generator = random.Random(seed)
    words = text.split()
    for i in generator.sample(range(len(words)), round(share * len(words))):
        words[i] = f"other{seed}x{i}"
    return " ".join(words)


def test_planted_copies_go_and_the_first_of_each_stays() -> None:
    texts = [" ".join(random.Random(i).choices("abcdefghijklmnop", k=300)) for i in range(30)]
    planted = [*texts, *(near_copy(text, 0.01, i) for i, text in enumerate(texts[:10]))]
    found = list(finder(n=5).among(planted, []))
    assert found[:30] == [None] * 30
    assert found[30:] == ["near_copy"] * 10


def test_what_is_near_a_text_that_went_is_not_near_for_that() -> None:
    words = [f"w{i}" for i in range(200)]
    a, b, c = (" ".join(words[i : i + 100]) for i in (0, 16, 32))
    assert list(finder().among([b, c], [])) == [None, "near_copy"]
    assert list(finder().among([a, b, c], [])) == [None, "near_copy", None]
    assert list(finder().among([a, a], [a])) == ["held_out", "held_out"]


@pytest.mark.parametrize("name", ["n", "bands", "rows"])
def test_bad_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"near_copies\.{name}: expected at least 1, got 0"):
        finder(**{name: 0})
