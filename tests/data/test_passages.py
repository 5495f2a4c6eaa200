from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.data.made import MadeSource, made_documents
from windtunnel.data.packing import TRAIN
from windtunnel.data.passages import Passages, name_of
from windtunnel.data.source import Document
from windtunnel.data.store import open_store
from windtunnel.data.subwords import BytePairs
from windtunnel.data.synthetic import MarkovSource
from windtunnel.data.tokenizer import Bytes, Ids


def test_passages_are_the_documents_in_the_order_of_the_stream(tmp_path: Path) -> None:
    spec = BytePairs(vocab_size=290, sample_bytes=10_000)
    store = open_store(
        MadeSource(made_documents()), spec, held_out=0.3, cache=tmp_path, progress=None
    )
    passages = Passages(store)
    texts = {document.content: document.domain for document in made_documents()}
    assert len(passages) == 42
    stream = []
    for passage, length in zip(passages, passages.lengths, strict=True):
        assert texts[passage.text] == store.domains[passages.documents.domains[passage.number]].name
        assert passage.name == hashlib.blake2b(passage.text.encode(), digest_size=16).hexdigest()
        assert passage.ids[0] == passage.ids[-1] == store.meta["eot"]
        assert passage.ids[1:-1].tolist() == passage.own.tolist()
        assert len(passage.own) == length
        stream += passage.ids[:-1].tolist()
    assert [*stream, store.meta["eot"]] == store.stream(TRAIN).tolist()
    assert len({passage.text for passage in passages}) == 42


def test_ids_without_separators_are_a_passage_as_they_are(tmp_path: Path) -> None:
    source = MarkovSource(
        vocab_size=8, strength=1.5, exponent=1.0, train_tokens=50, held_out_tokens=20, seed=1
    )
    store = open_store(source, Ids(), held_out=0.0, cache=tmp_path, progress=None)
    (passage,) = Passages(store)
    assert passage.ids.tolist() == passage.own.tolist() == store.stream(TRAIN).tolist()
    assert passage.text.split() == list(map(str, passage.own))
    assert passage.name == name_of(passage.own)
    assert Passages(store).lengths.tolist() == [50]


@pytest.mark.parametrize("number", [-1, 2])
def test_a_number_that_no_document_has_is_refused(tmp_path: Path, number: int) -> None:
    documents = [Document("a", text, text, "train") for text in ("one", "two")]
    store = open_store(MadeSource(documents), Bytes(), held_out=0.1, cache=tmp_path, progress=None)
    with pytest.raises(IndexError):
        Passages(store)[number]
