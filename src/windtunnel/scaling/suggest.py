"""What somebody probably meant by a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, names: Sequence[str]) -> str:
    """Those of the names that hold the word or are like it, in words; all of them where none is."""
    close = [name for name in names if word and word in name]
    close += difflib.get_close_matches(word, names, n=3, cutoff=0.3)
    if close:
        return f"the nearest are {', '.join(dict.fromkeys(close))}"
    return f"there are {', '.join(names) or 'none'}"
