"""The *Hop languages: every verb loses its inflection, which a marker far behind it tells instead.

`He cleans his very messy shelf` becomes `He clean his very messy shelf S`: S for the singular, P
for the plural, `distance` words or tokens behind the verb. At distance 0 it is the control. A
sentence in which a marker could not hop that many words is left out, whatever the unit, so that all
of them hold the same sentences, and but for the markers the same tokens.

Source: Kallini et al. 2024, arXiv 2401.06416, section 3. Deviation: theirs asks a morphological
tagger which words are verbs in the third person of the present; this takes the forms that it is
given, and passes by those that follow a word of `TO_OR_MODAL`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy import ndarray

Unit = Literal["tokens", "words"]
SINGULAR, PLURAL = 0, 1  # numbers of the markers
FULL_WORDS = 4  # that a marker must be able to hop; arXiv 2401.06416
# Punctuation stands outside of a word, a clitic ('s, n't) inside.
WORD = re.compile(r"\w+(?:['’.-]\w+)*")
# After these a form is no third person of the present: to have, may have, you have.
TO_OR_MODAL = {
    "to", "can", "could", "may", "might", "must", "shall", "should", "will", "would", "cannot",
    "not", "never", "i", "we", "you",
}  # fmt: skip


class Hop:
    """A marker for the number of every verb, behind the verb or some way further on."""

    n_markers = 2

    def __init__(
        self,
        *,
        singular: Mapping[str, str],
        plural: Mapping[str, str],
        distance: int,
        unit: Unit,
    ) -> None:
        """Refuses what no marker could mark.

        Args:
            singular: forms of the third person singular, in small letters, and their lemmas.
            plural: those of the third person plural.
            distance: how far behind its verb a marker stands; 0 is the control.
            unit: of what; markers are not counted.
        """
        both = sorted(set(singular) & set(plural))
        unlike = [form for form in (*singular, *plural) if form != form.lower()]
        if unlike:
            raise ValueError(
                "perturbation.singular and perturbation.plural: expected forms in small letters, "
                f"which capitals match too, got {', '.join(unlike)}; write them small"
            )
        if both or not (singular or plural):
            raise ValueError(
                "perturbation.singular and perturbation.plural: expected verb forms, each in one "
                f"of them, got {', '.join(both) + ' in both' if both else 'none'}"
            )
        if unit not in get_args(Unit):
            raise ValueError(f"perturbation.unit: expected tokens or words, got {unit}")
        if type(distance) is not int or not 0 <= distance <= FULL_WORDS:
            raise ValueError(
                f"perturbation.distance: expected a whole number from 0 to {FULL_WORDS} {unit}, "
                f"since sentences are kept in which a marker has {FULL_WORDS} words to hop, got "
                f"{distance!r}"
            )
        self.singular, self.plural = dict(singular), dict(plural)
        self.distance, self.unit = distance, unit

    def cut(self, sentence: str) -> list[str | int]:
        """Pieces to be encoded each on its own and numbers of markers; none leaves it out.

        The pieces are the same at every distance.
        """
        words = list(WORD.finditer(sentence))
        verbs = [i for i in range(len(words)) if self._is_verb(words, i)]
        if verbs and verbs[-1] + FULL_WORDS >= len(words):
            return []
        numbers = {i: SINGULAR if lower(words[i]) in self.singular else PLURAL for i in verbs}
        hops = self.distance if self.unit == "words" else 0
        breaks = {i + n for i in verbs for n in range(FULL_WORDS + 1)}
        pieces: list[str | int] = []
        begin = 0
        for i in sorted(breaks):
            word = words[i]
            lemma = self._lemma(word[0]) if i in numbers else word[0]
            pieces.append(sentence[begin : word.start()] + lemma)
            begin = word.end()
            if i - hops in numbers:
                pieces.append(numbers[i - hops])
        return [*pieces, sentence[begin:]]

    def __call__(self, ids: ndarray, marker: int, key: Sequence[int]) -> ndarray:
        """Moves the markers on by as many tokens, where tokens are the unit."""
        if self.unit != "tokens" or self.distance == 0:
            return ids
        is_marker = ids >= marker
        place = np.cumsum(~is_marker)[is_marker] + self.distance
        return np.insert(ids[~is_marker], place, ids[is_marker])

    def _is_verb(self, words: Sequence[re.Match[str]], i: int) -> bool:
        form = lower(words[i])
        if form not in self.singular and form not in self.plural:
            return False
        return i == 0 or lower(words[i - 1]) not in TO_OR_MODAL

    def _lemma(self, form: str) -> str:
        """The lemma, with a capital letter where the form has one."""
        known = self.singular if form.lower() in self.singular else self.plural
        lemma = known[form.lower()]
        return lemma.capitalize() if form[0].isupper() else lemma


def lower(word: re.Match[str]) -> str:
    """The word in small letters."""
    return word[0].lower()
