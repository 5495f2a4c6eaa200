"""Which documents are too short or too long to train on, in characters."""

from __future__ import annotations


class Lengths:
    """Bounds of a document's length in characters; null is no bound."""

    def __init__(self, *, at_least: int, at_most: int | None) -> None:
        if at_least < 0 or (at_most is not None and at_most < max(at_least, 1)):
            raise ValueError(
                "cleaning.lengths: expected 0 <= at_least <= at_most, got "
                f"{at_least} and {at_most}; widen them"
            )
        self.at_least, self.at_most = at_least, at_most

    def fault(self, text: str) -> str | None:
        """`too_short` or `too_long`; None where the length is right."""
        if len(text) < self.at_least:
            return "too_short"
        return "too_long" if self.at_most is not None and len(text) > self.at_most else None
