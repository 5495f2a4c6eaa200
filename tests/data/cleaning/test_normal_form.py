from __future__ import annotations

import pytest

from windtunnel.data.cleaning.normal_form import NormalForm


@pytest.mark.parametrize(
    ("text", "nfc", "nfkc"),
    [
        ("e\u0301te\u0301", "été", "été"),
        ("\ufb01ne", "\ufb01ne", "fine"),
        ("\uff21\uff11", "\uff21\uff11", "A1"),
        ("a\r\nb\rc\n", "a\nb\nc\n", "a\nb\nc\n"),
        ("a\tb\x07\x00\x85c", "a\tbc", "a\tbc"),
        ("plain", "plain", "plain"),
    ],
)
def test_what_looks_the_same_is_written_the_same(text: str, nfc: str, nfkc: str) -> None:
    for form, expected in (("NFC", nfc), ("NFKC", nfkc)):
        clean = NormalForm(form=form)  # pyright: ignore
        assert clean(text) == expected
        assert clean(expected) == expected


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"normal_form\.form: expected NFC or NFKC, got 'NFD'"):
        NormalForm(form="NFD")  # pyright: ignore
