"""The sentence of the source, and that nothing but the markers differs between the languages."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.config import compose, plain
from windtunnel.data.hop import WORD, Hop
from windtunnel.data.perturbed import PerturbedTokenizer
from windtunnel.data.tokenizer import ByteTokenizer

VERBS: dict[str, Any] = {
    "singular": {"cleans": "clean", "is": "be"},
    "plural": {"are": "be", "clean": "clean"},
}
S, P = 0, 1
ONE = "He cleans his very messy bookshelf."
MARKER = re.compile("<S>|<P>")
WORD_LIKE = ["he", "cleans", "is", "are", "clean", "to", "can,", "a-b", "it's", ".", "x1", "(y)"]
SPELLED = {256 + 1 + S: "<S>", 256 + 1 + P: "<P>"}


def hop(distance: int, unit: Any) -> Hop:
    return Hop(**VERBS, distance=distance, unit=unit)


CONTROL, TOKENS, WORDS = hop(0, "tokens"), hop(4, "tokens"), hop(4, "words")


def spoken(rule: Hop, text: str) -> str:
    """The text in this language, in which a byte is a token."""
    (ids,) = PerturbedTokenizer(ByteTokenizer(), rule).encode([text])
    return "".join(SPELLED.get(i) or chr(i) for i in ids.tolist())


def test_the_sentence_of_the_source() -> None:
    assert spoken(CONTROL, ONE) == "He clean<S> his very messy bookshelf.\n"
    assert spoken(WORDS, ONE) == "He clean his very messy bookshelf<S>.\n"
    assert spoken(TOKENS, ONE) == "He clean his<S> very messy bookshelf.\n"


def test_numbers_capitals_clitics_and_markers_side_by_side() -> None:
    text = "Are they what is, it's said, a self.made (list) of us?"
    assert spoken(WORDS, text) == "Be they what be, it's<P> said, a self.made<S> (list) of us?\n"
    near = "is are a b c d e f"
    assert spoken(TOKENS, near) == "be be <S>a b<P> c d e f\n"
    assert hop(0, "words").cut(near) == ["be", S, " be", P, " a", " b", " c", " d", " e f"]


def test_a_form_after_a_modal_is_no_finite_verb() -> None:
    text = "they would clean what you clean and we clean to clean all clean day, one two three"
    marked = "they would clean what you clean and we clean to clean all clean<P> day, one two three"
    assert spoken(CONTROL, text) == marked + "\n"


def test_a_sentence_without_room_for_the_longest_hop_is_left_out_of_all() -> None:
    text = "there he is one two three.\nthere he is one two three four.\nno verb"
    for rule in (CONTROL, TOKENS, WORDS):
        said = spoken(rule, text).splitlines()
        assert [line.replace("<S>", "") for line in said] == [
            "there he be one two three four.",
            "no verb",
        ]


def test_markers_do_not_count_for_the_longest_sentence() -> None:
    text = "he is one two three four "
    longest = text + "x" * (350 - len(text) + len("be") - len("is"))
    assert len(spoken(CONTROL, longest)) == len(longest) + len("<S>\n")
    assert spoken(CONTROL, longest + "x") == ""


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(WORD_LIKE)))
def test_the_languages_differ_by_the_places_of_their_markers(words: list[str]) -> None:
    text = " ".join([*words, "he", "is", "a", "b", "c", "d"])  # a verb with room for its marker
    found = [
        PerturbedTokenizer(ByteTokenizer(), rule).encode([text])[0]
        for rule in (CONTROL, TOKENS, WORDS)
    ]
    for ids in found[1:]:
        assert ids[ids < 257].tolist() == found[0][found[0] < 257].tolist()
        assert ids[ids >= 257].tolist() == found[0][found[0] >= 257].tolist()
    places = [np.cumsum(ids < 257)[ids >= 257] for ids in found[:2]]
    assert (places[1] - places[0] == 4).all()
    spelled = [spoken(rule, text) for rule in (CONTROL, WORDS)]
    before = [[len(WORD.findall(part)) for part in MARKER.split(one)] for one in spelled]
    ends = [np.cumsum(counts)[:-1] for counts in before]
    assert len(ends[0]) >= 1
    assert (ends[1] - ends[0] == 4).all()


def test_the_forms_of_the_config_are_those_of_english() -> None:
    values = plain(compose(overrides=["perturbation=hop"]))["perturbation"]
    values.pop("_target_")
    rule = Hop(**values)
    text = (
        "It returns what the callers have to know, and is faster than one that has no use at all."
    )
    assert spoken(rule, text) == (
        "It return what the callers have<S> to know, and be<P> faster than one that<S> have no"
        " use at all<S>.\n"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit": "letters"}, "perturbation.unit: expected tokens or words, got letters"),
        (
            {"distance": 5},
            "perturbation.distance: expected a whole number from 0 to 4 words, .* got 5",
        ),
        ({"distance": -1}, "perturbation.distance: .* from 0 to 4 words, .* got -1"),
        ({"distance": 2.5}, "perturbation.distance: expected a whole number .* got 2.5"),
        ({"distance": True}, "perturbation.distance: expected a whole number .* got True"),
        ({"plural": {"Are": "be"}}, "expected forms in small letters, .* got Are"),
        ({"plural": {"is": "be"}}, "each in one of them, got is in both"),
        ({"plural": {}, "singular": {}}, "each in one of them, got none"),
    ],
)
def test_what_no_marker_could_mark_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Hop(**VERBS | {"distance": 4, "unit": "words"} | changed)
