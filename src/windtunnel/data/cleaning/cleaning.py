"""Cleans what a source gives: every document in a normal form, and no bad ones to train on.

The normal form comes first, so that exact copies, which a store never keeps, are found as such.
Held-out documents are only brought into the normal form: what is evaluated on stays what it was.
Of the others those go that are too short or too long, that nearly say what a held-out document
says, or what an earlier one says that is kept; the order is that of the store.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from windtunnel.data.cleaning.lengths import Lengths
from windtunnel.data.cleaning.near_copies import NearCopies
from windtunnel.data.cleaning.normal_form import NormalForm
from windtunnel.data.source import Document
from windtunnel.data.spool import Spool


class Cleaning:
    """What is done, in this order; null leaves a step out. Counts what it did."""

    def __init__(
        self,
        *,
        normal_form: NormalForm | None,
        lengths: Lengths | None,
        near_copies: NearCopies | None,
    ) -> None:
        self._normal_form, self._lengths, self._near = normal_form, lengths, near_copies
        self._changed = 0

    def identity(self) -> dict[str, Any]:
        """Equal identities clean alike. JSON values only."""
        steps = {"normal_form": self._normal_form, "lengths": self._lengths, "near": self._near}
        return {name: step and vars(step) for name, step in steps.items()}

    def documents(self, documents: Iterator[Document]) -> Iterator[Document]:
        """The documents of a source in the normal form."""
        self._changed = 0
        for document in documents:
            content = document.content
            if not isinstance(content, str):
                raise ValueError(
                    "cleaning: expected text, got a source of token ids; leave cleaning out"
                )
            text = content if self._normal_form is None else self._normal_form(content)
            self._changed += text != content
            if text.strip():
                yield dataclasses.replace(document, content=text)

    def sift(self, spool: Spool) -> dict[str, Any]:
        """Takes out of a spool what is not to be trained on; says how many documents for what."""
        faults = list(self._faults(spool))
        by_domain = _by_domain(spool, faults)
        spool.drop(np.array([fault is not None for fault in faults], bool))
        if all(kept.is_held_out for kept in spool.kept()):
            raise ValueError(
                f"cleaning: expected documents to train on in what is left, got none of "
                f"{len(faults)}; widen cleaning.lengths"
            )
        counts = Counter(fault for fault in faults if fault is not None)
        known = ("too_short", "too_long", "near_copy", "held_out")
        return {
            "normalised": self._changed,
            "exact_copy": spool.n_documents - len(faults),
            **{name: counts[name] for name in known},
            "by_domain": by_domain,
        }

    def _faults(self, spool: Spool) -> Iterator[str | None]:
        """What is wrong with each document of a spool."""
        by_length = [
            None if self._lengths is None or kept.is_held_out else self._lengths.fault(kept.text)
            for kept in spool.kept()
        ]
        if self._near is None:
            yield from by_length
            return
        known = (kept.text for kept in spool.kept() if kept.is_held_out)
        pairs = zip(spool.kept(), by_length, strict=True)
        texts = (kept.text for kept, fault in pairs if fault is None and not kept.is_held_out)
        near = self._near.among(texts, known)
        for kept, fault in zip(spool.kept(), by_length, strict=True):
            yield fault if fault is not None or kept.is_held_out else next(near)


def _by_domain(spool: Spool, faults: list[str | None]) -> dict[str, int]:
    """Documents taken out of each domain that lost some."""
    pairs = zip(spool.kept(), faults, strict=True)
    lost = Counter(kept.domain for kept, fault in pairs if fault is not None)
    return {spool.domains[domain]: n for domain, n in sorted(lost.items())}
