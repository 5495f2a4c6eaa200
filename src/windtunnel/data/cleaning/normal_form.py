"""One spelling for what looks the same, so that copies are found as copies.

Unicode writes some characters in several ways; a normal form chooses one. NFC composes letters and
their accents; NFKC also writes ligatures, full-width letters and the like as plain ones, which
changes how text looks. Control characters but tab and newline go, and line ends become newlines.
Source: Unicode Standard Annex 15, "Unicode Normalization Forms".
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Form = Literal["NFC", "NFKC"]
_KEPT = "\t\n"


class NormalForm:
    """Writes a text in a normal form of Unicode."""

    def __init__(self, *, form: Form) -> None:
        if form not in ("NFC", "NFKC"):
            raise ValueError(
                f"cleaning.normal_form.form: expected NFC or NFKC, got {form!r}; NFC keeps what "
                "text looks like"
            )
        self.form: Form = form

    def __call__(self, text: str) -> str:
        """The text in this form."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        visible = "".join(c for c in lines if c in _KEPT or unicodedata.category(c) != "Cc")
        return unicodedata.normalize(self.form, visible)
