from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.made import MadeSource, made_module, made_store
from windtunnel.data.cleaning.cleaning import Cleaning
from windtunnel.data.cleaning.lengths import Lengths
from windtunnel.data.cleaning.near_copies import NearCopies
from windtunnel.data.cleaning.normal_form import NormalForm
from windtunnel.data.packing import TRAIN, held_out_name
from windtunnel.data.passages import Passages
from windtunnel.data.source import Document, Split


def text(i: int) -> str:
    return f"{i} " + " ".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=200))


def document(content: str, split: Split = "train", domain: str = "a") -> Document:
    return Document(domain, content, content, split)


DOCUMENTS = [
    document(text(0), "held_out"),
    document("short", "held_out"),
    document(text(0) + " and more"),  # near what is held out
    document("brief", domain="b"),
    document(text(1)),
    document(text(1) + "\r\n"),  # a copy once line ends are the same
    document(text(1) + "\n"),
    document(text(2) + " é"),
    document(text(2) + " e\u0301", domain="b"),  # a copy in the normal form
    document(text(3), domain="b"),
    document("x" * 5000),
]


def cleaning(**changes: Any) -> Cleaning:
    settings: dict[str, Any] = {
        "normal_form": NormalForm(form="NFC"),
        "lengths": Lengths(at_least=20, at_most=2000),
        "near_copies": NearCopies(n=5, bands=25, rows=10, seed=42),
    }
    return Cleaning(**{**settings, **changes})


def trained_on(store: Any) -> list[str]:
    return sorted(passage.text for passage in Passages(store))


def test_bad_documents_go_and_are_counted(tmp_path: Path) -> None:
    store = made_store(tmp_path, DOCUMENTS, cleaning=cleaning())
    kept = trained_on(store)
    assert [t for t in kept if t.startswith("2")] == [text(2) + " é"]
    assert len([t for t in kept if t.startswith("1")]) == 1
    assert {t.split()[0] for t in kept} == {"1", "2", "3"}
    counts = store.meta["facts"]["cleaning"]
    assert {k: v for k, v in counts.items() if k != "by_domain"} == {
        "normalised": 2,
        "exact_copy": 2,
        "too_short": 1,
        "too_long": 1,
        "near_copy": 1,
        "held_out": 1,
    }
    assert sum(counts["by_domain"].values()) == 4
    assert counts["by_domain"]["b"] == 1


def test_the_first_of_near_copies_in_the_order_of_the_store_is_kept(tmp_path: Path) -> None:
    copies = [document(f"{text(5)} {i}") for i in range(6)]
    documents = [document(text(0), "held_out"), *copies]
    whole = made_store(tmp_path / "one", documents)
    clean = made_store(tmp_path / "two", documents, cleaning=cleaning())
    assert [p.text for p in Passages(clean)] == [Passages(whole)[0].text]


def test_what_is_evaluated_on_stays_what_it_was(tmp_path: Path) -> None:
    raw = made_store(tmp_path, DOCUMENTS)
    clean = made_store(tmp_path, DOCUMENTS, cleaning=cleaning())
    assert raw.folder != clean.folder
    streams = [store.stream(held_out_name(0)).tolist() for store in (raw, clean)]
    assert streams[0] == streams[1]
    assert len(clean.stream(TRAIN)) < len(raw.stream(TRAIN))


def test_steps_that_are_left_out_do_nothing(tmp_path: Path) -> None:
    nothing = cleaning(normal_form=None, lengths=None, near_copies=None)
    raw = made_store(tmp_path, DOCUMENTS)
    same = made_store(tmp_path, DOCUMENTS, cleaning=nothing)
    assert raw.stream(TRAIN).tolist() == same.stream(TRAIN).tolist()
    counts = same.meta["facts"]["cleaning"]
    assert {v for k, v in counts.items() if k != "by_domain"} == {0}
    only = made_store(tmp_path, DOCUMENTS, cleaning=cleaning(normal_form=None, lengths=None))
    assert only.meta["facts"]["cleaning"]["too_short"] == 0
    assert only.meta["facts"]["cleaning"]["near_copy"] > 1


def test_a_store_is_found_again_by_how_it_was_cleaned(tmp_path: Path) -> None:
    source = MadeSource(DOCUMENTS)
    folders = []
    for changes in ({}, {}, {"lengths": Lengths(at_least=21, at_most=2000)}):
        module = made_module(
            tmp_path, source=source, held_out=0.1, length=8, cleaning=cleaning(**changes)
        )
        folders.append(module.store.folder)
    assert folders[0] == folders[1] != folders[2]
    assert source.n_reads == 2
    assert module.digests["cleaning"]["too_long"] == 1


def test_ids_and_a_cleaning_that_leaves_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cleaning: expected text, got a source of token ids"):
        list(cleaning().documents(iter([Document("a", np.arange(3), "1")])))
    nothing = cleaning(lengths=Lengths(at_least=10**6, at_most=None))
    with pytest.raises(ValueError, match="expected documents to train on in what is left, got non"):
        made_store(tmp_path, DOCUMENTS, cleaning=nothing)
