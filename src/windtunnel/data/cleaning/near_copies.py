"""Documents that say nearly the same, by MinHash.

A document is the set of its word n-grams. Under a random hash of n-grams two sets have the same
smallest one with a probability that is their Jaccard similarity s = |A and B| / |A or B|. The
smallest ones of `bands` x `rows` hashes are compared in bands, and two documents are near copies
if all rows of a band agree:

    p(s) = 1 - (1 - s^rows)^bands,    steepest near s = (1 / bands)^(1 / rows)

Source: Broder 1997, "On the resemblance and containment of documents"; bands: Leskovec, Rajaraman,
Ullman, "Mining of massive datasets", section 3.4; on language models' text: Lee et al. 2021, arXiv
2107.06499, appendix A. By the library `datasketch`. It holds the bands of all documents in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

_WORD = re.compile(r"\w+")


class NearCopies:
    """Finds near copies among texts that come one after the other.

    n: words of an n-gram. bands, rows: of hashes. seed: of the hashes.
    """

    def __init__(self, *, n: int, bands: int, rows: int, seed: int) -> None:
        for name, value in (("n", n), ("bands", bands), ("rows", rows)):
            if value < 1:
                raise ValueError(
                    f"cleaning.near_copies.{name}: expected at least 1, got {value}; raise it"
                )
        self.n, self.bands, self.rows, self.seed = n, bands, rows, seed

    def among(self, texts: Iterable[str], known: Iterable[str]) -> Iterator[str | None]:
        """For each text `held_out` if it is near one of `known`, else `near_copy` if it is near an
        earlier text that is kept, else None: it is kept."""
        held_out, kept = self._index(), self._index()
        for i, text in enumerate(known):
            held_out.insert(i, self.signature(text), check_duplication=False)
        for i, text in enumerate(texts):
            signature = self.signature(text)
            if held_out.query(signature):
                yield "held_out"
            elif kept.query(signature):
                yield "near_copy"
            else:
                kept.insert(i, signature, check_duplication=False)
                yield None

    def signature(self, text: str) -> MinHash:
        """The smallest hashes of a text's n-grams."""
        from datasketch import MinHash  # slow to import, and most runs clean nothing

        found = MinHash(num_perm=self.bands * self.rows, seed=self.seed)
        found.update_batch([ngram.encode() for ngram in ngrams(text, self.n)])
        return found

    def _index(self) -> MinHashLSH:
        from datasketch import MinHashLSH

        return MinHashLSH(num_perm=self.bands * self.rows, params=(self.bands, self.rows))


def ngrams(text: str, n: int) -> set[str]:
    """The `n`-grams of a text's words in lower case; of a text with fewer words, what it is."""
    words = _WORD.findall(text.lower())
    found = {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}
    return found or {" ".join(words) or text}
