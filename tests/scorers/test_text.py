from __future__ import annotations

from pathlib import Path

import pytest

from tests.scorers.made import made_passages, scored
from windtunnel.data.subwords import BytePairs
from windtunnel.scorers.text import Length, OfText

TEXTS = ["a line of text\n", "été", "one two three four five six seven eight nine ten"]


@pytest.mark.parametrize(
    ("unit", "length"), [("bytes", lambda t: len(t.encode())), ("characters", len)]
)
def test_length_in_bytes_and_characters(tmp_path: Path, unit, length) -> None:
    found = scored(Length(unit=unit), made_passages(tmp_path, TEXTS))
    assert found == {text: [length(text)] for text in TEXTS}


def test_length_in_tokens_is_the_tokenizers(tmp_path: Path) -> None:
    passages = made_passages(tmp_path, TEXTS, BytePairs(vocab_size=264, sample_bytes=999))
    found = scored(Length(unit="tokens"), passages)
    own = passages.store.tokenizer
    assert found == {text: [len(own.encode([text])[0])] for text in TEXTS}
    assert sum(n for (n,) in found.values()) < sum(map(len, map(str.encode, TEXTS)))


def test_any_function_of_the_text_is_a_score(tmp_path: Path) -> None:
    found = scored(OfText(measure=lambda text: text.count("e")), made_passages(tmp_path, TEXTS))
    assert found == {text: [text.count("e")] for text in TEXTS}


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scorer\.unit: expected tokens, bytes .* got 'words'"):
        Length(unit="words")  # pyright: ignore
