"""What can be counted in a text without a model; each a function of the text.

    compression  bytes of zlib's output / bytes of the text, low for repeated text
    symbols      share of the visible characters that are neither letters nor digits
    letters      share of the visible characters that are letters
    lines        share of the lines with text that repeat an earlier one
    repetition   1 - distinct word n-grams / word n-grams

Source: Rae et al. 2021 (Gopher), arXiv 2112.11446, appendix A.1.1, for shares of symbols and
letters, repeated lines and n-grams as signs of quality. Deviations: shares are of characters, not
of words; n-grams count, not the characters in them. A text too short to count has share 0.
"""

from __future__ import annotations

import zlib


def compression_ratio(text: str, *, level: int) -> float:
    """Compressed bytes over bytes; `level` is zlib's, 1 to 9."""
    whole = text.encode()
    return len(zlib.compress(whole, level)) / len(whole)


def symbol_share(text: str) -> float:
    """Share of visible characters that are neither letters nor digits."""
    visible = "".join(text.split())
    return sum(not c.isalnum() for c in visible) / max(len(visible), 1)


def letter_share(text: str) -> float:
    """Share of visible characters that are letters of any script."""
    visible = "".join(text.split())
    return sum(c.isalpha() for c in visible) / max(len(visible), 1)


def repeated_line_share(text: str) -> float:
    """Share of lines with text that say what an earlier line said, blanks at the ends aside."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def repeated_ngram_share(text: str, *, n: int) -> float:
    """Share of the `n`-grams of words that repeat an earlier one."""
    words = text.split()
    ngrams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
