from __future__ import annotations

import gzip
import random
import string

import pytest

from windtunnel.scorers.heuristics import (
    compression_ratio,
    letter_share,
    repeated_line_share,
    repeated_ngram_share,
    symbol_share,
)


def test_repeated_text_compresses_and_noise_does_not() -> None:
    noise = "".join(random.Random(0).choices(string.printable, k=4000))
    repeated = "one more time " * 300
    assert compression_ratio(repeated, level=6) < 0.05
    assert 0.8 < compression_ratio(noise, level=6) < 1.01
    by_gzip = len(gzip.compress(noise.encode(), 6)) - 12  # its header is longer than zlib's
    assert compression_ratio(noise, level=6) == by_gzip / 4000
    assert compression_ratio(noise, level=9) <= compression_ratio(noise, level=1)


@pytest.mark.parametrize(
    ("text", "symbols", "letters"),
    [
        ("abc d1", 0, 4 / 5),
        ("a = b[1];", 4 / 7, 2 / 7),
        ("été été", 0, 1),
        ("...", 1, 0),
        (" \n ", 0, 0),
    ],
)
def test_shares_are_of_visible_characters(text: str, symbols: float, letters: float) -> None:
    assert symbol_share(text) == pytest.approx(symbols)
    assert letter_share(text) == pytest.approx(letters)


@pytest.mark.parametrize(
    ("text", "share"),
    [("a\nb\n\n a \nc", 1 / 4), ("a\na\na\na", 3 / 4), ("a\nb", 0), ("\n\n", 0)],
)
def test_lines_that_come_again_count_once_each(text: str, share: float) -> None:
    assert repeated_line_share(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "n", "share"),
    [("a b a b a", 2, 2 / 4), ("a b a b a", 1, 3 / 5), ("a b c", 3, 0), ("a b", 3, 0), ("", 1, 0)],
)
def test_ngrams_that_come_again(text: str, n: int, share: float) -> None:
    assert repeated_ngram_share(text, n=n) == pytest.approx(share)
