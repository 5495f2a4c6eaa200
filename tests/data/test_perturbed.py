from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.made import MadeSource, made_documents
from windtunnel.data.packing import TRAIN
from windtunnel.data.perturb import ReverseFull, Shuffle, ShuffleDeterministic, Unchanged
from windtunnel.data.perturbed import Perturbed, PerturbedTokenizer, sentences
from windtunnel.data.store import open_store
from windtunnel.data.tokenizer import Bytes, ByteTokenizer, Ids, load_tokenizer

TEXT = "  One fox.  Two dogs?\nthree\n\n\tx\n" + "y" * 351 + "\nlast one"


def words(text: str, perturbation: object) -> list[int]:
    (ids,) = PerturbedTokenizer(ByteTokenizer(), perturbation).encode([text])  # type: ignore[arg-type]
    return ids.tolist()


def test_a_sentence_is_a_line_or_ends_in_a_mark() -> None:
    assert sentences(TEXT) == ["One fox.", "Two dogs?", "three", "x", "y" * 351, "last one"]
    assert sentences("一つ。二つ！three") == ["一つ。", "二つ！", "three"]
    assert sentences(" \n ") == []


def test_sentences_keep_their_places_and_their_line_breaks() -> None:
    """The one of a single token and the one of 351 are left out."""
    assert bytes(words(TEXT, Unchanged())) == b"One fox.\nTwo dogs?\nthree\nlast one\n"
    shuffled = bytes(words(TEXT, ShuffleDeterministic(21))).split(b"\n")
    assert [sorted(own) for own in shuffled] == [
        sorted(own) for own in (b"One fox.", b"Two dogs?", b"three", b"last one", b"")
    ]
    assert shuffled[0] != b"One fox."


def test_each_sentence_of_each_document_has_its_key() -> None:
    text = "the same words here\nthe same words here"
    one, two, _ = bytes(words(text, Shuffle(0))).split(b"\n")
    other = bytes(words(text + "\nmore", Shuffle(0))).split(b"\n")
    assert sorted(one) == sorted(two)
    assert len({one, two, other[0], other[1]}) == 4
    tokenizer = PerturbedTokenizer(ByteTokenizer(), Shuffle(0))
    apart, beside = tokenizer.encode([text]), tokenizer.encode(["before it", text])
    assert apart[0].tolist() == beside[1].tolist()


def test_markers_are_new_ids_without_text() -> None:
    tokenizer = PerturbedTokenizer(ByteTokenizer(), ReverseFull(21))
    assert (tokenizer.vocab_size, tokenizer.eot) == (258, 256)
    (ids,) = tokenizer.encode(["abc"])
    assert sorted(ids.tolist()) == sorted([*b"abc\n", 257])
    assert tokenizer.decode(ids.tolist()) == "cba\n"
    assert tokenizer.byte_lengths is not None
    assert tokenizer.byte_lengths[ids].sum() == 4
    assert len(tokenizer.byte_lengths) == 258


def test_a_text_without_sentences_gives_no_ids() -> None:
    assert words(" \n x \n", Unchanged()) == []


def test_comes_back_from_disk(tmp_path: Path) -> None:
    tokenizer = PerturbedTokenizer(ByteTokenizer(), ReverseFull(21))
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer.to_json()))
    again = load_tokenizer(file)
    assert again.to_json() == tokenizer.to_json()
    assert again.encode([TEXT])[0].tolist() == tokenizer.encode([TEXT])[0].tolist()


def test_a_store_for_each_language(tmp_path: Path) -> None:
    """Equal settings find their store again; the languages hold the same tokens."""
    source = MadeSource(made_documents())
    found = [
        open_store(source, Perturbed(Bytes(), rule), held_out=0.3, cache=tmp_path, progress=None)
        for rule in (Unchanged(), ShuffleDeterministic(21), ShuffleDeterministic(57), Unchanged())
    ]
    assert found[0].folder == found[3].folder
    assert len({store.folder for store in found}) == 3
    streams = [store.stream(TRAIN) for store in found[:3]]
    assert (streams[0] != streams[1]).any()
    assert len({np.bincount(stream).tobytes() for stream in streams}) == 1
    assert len({json.dumps(store.meta["domains"]) for store in found}) == 1


def test_ids_have_no_sentences() -> None:
    with pytest.raises(ValueError, match="perturbation: expected a tokenizer of text"):
        Perturbed(Ids(), Unchanged())
