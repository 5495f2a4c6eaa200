from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made import MadeSource, made_documents, made_module
from windtunnel.data.source import Document
from windtunnel.data.store import Store, open_store
from windtunnel.data.subwords import BytePairs
from windtunnel.data.synthetic import MarkovSource
from windtunnel.data.tokenizer import Bytes, Ids
from windtunnel.data.tokenizer_metrics import cut_words, entropy, measure
from windtunnel.evaluation import score
from windtunnel.interfaces import IGNORE_INDEX

P = np.array([0.5, 0.25, 0.125, 0.125])
ALPHABET = "ab \n\té"


def made_store(cache: Path, spec: Any, texts: list[str]) -> Store:
    """A store of which `texts` are the held-out documents."""
    held = [Document("a", text, f"held {i}", "held_out") for i, text in enumerate(texts)]
    source = MadeSource([*made_documents(6, domains=("a",)), *held])
    return open_store(source, spec, held_out=0.0, cache=cache, progress=None)


@pytest.mark.parametrize(
    ("alpha", "nats", "efficiency"), [(1, 1.21301, 0.875), (2.5, 1.01223, 0.73017)]
)
def test_entropies_of_the_golden(alpha: float, nats: float, efficiency: float) -> None:
    assert entropy(P, alpha) == pytest.approx(nats, abs=5e-6)
    assert entropy(P, alpha) / math.log(4) == pytest.approx(efficiency, abs=5e-6)
    assert entropy(np.append(P, 0.0), alpha) == entropy(P, alpha)


def test_orders_meet_at_1_and_fall() -> None:
    assert entropy(P, 1 + 1e-7) == pytest.approx(entropy(P, 1), abs=1e-6)
    values = [entropy(P, alpha) for alpha in (0.5, 1, 2, 2.5, 50)]
    assert values == sorted(values, reverse=True)
    assert entropy(np.full(8, 1 / 8), 2.5) == pytest.approx(math.log(8))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(ALPHABET, min_size=1, max_size=5), min_size=1, max_size=20))
def test_words_are_cut_where_a_token_ends_inside_of_them(tokens: list[str]) -> None:
    """A reference that walks through the characters."""
    n_words = n_cut = 0
    inside = cut = False
    for token in tokens:
        for i, character in enumerate(token):
            blank = character in " \n\t"
            if inside and (blank or not i):
                cut = cut or not blank
            if not blank and not inside:
                n_words, cut = n_words + 1, False
            if blank and inside:
                n_cut += cut
            inside = not blank
    n_cut += cut and inside
    lengths = np.array([len(token.encode()) for token in tokens])
    assert cut_words("".join(tokens).encode(), lengths) == (n_words, n_cut)


def test_bytes_cut_every_word_of_more_than_one(tmp_path: Path) -> None:
    found = measure(made_store(tmp_path, Bytes(), ["ab c déf\n", "ab"]), alpha=2.5)
    assert found["tokens"] == found["bytes"] == 12
    assert (found["words"], found["ids"]) == (4, 256)
    assert found["fertility"] == 3.0
    assert found["bytes_per_token"] == 1.0
    assert found["continued"] == 0.75
    assert found["ids_used"] == len(set("ab c déf\n".encode()))
    assert found["renyi"] < found["shannon"] < math.log(found["ids_used"])  # type: ignore[operator]
    assert found["renyi_efficiency"] == found["renyi"] / math.log(256)  # type: ignore[operator]


def test_more_merges_make_fewer_tokens_of_the_same_text(tmp_path: Path) -> None:
    texts = [document.content for document in made_documents(40)[6:]]
    found = [
        measure(made_store(tmp_path / str(size), spec, texts), alpha=2.5)  # type: ignore[arg-type]
        for size, spec in [(0, Bytes())]
        + [(n, BytePairs(vocab_size=n, sample_bytes=10**6)) for n in (265, 300)]
    ]
    assert len({(own["bytes"], own["words"]) for own in found}) == 1
    for name in ("tokens", "fertility", "continued"):
        values = [own[name] for own in found]
        assert values == sorted(values, reverse=True)  # type: ignore[type-var]
        assert len(set(values)) == 3


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="alpha must be above 0, got 0"):
        measure(made_store(tmp_path, Bytes(), ["ab"]), alpha=0)
    source = MarkovSource(vocab_size=4, strength=1.0, exponent=1.0, train_tokens=50,
                          held_out_tokens=20, seed=1)  # fmt: skip
    store = open_store(source, Ids(), held_out=0.0, cache=tmp_path / "ids", progress=None)
    with pytest.raises(ValueError, match="expected a tokenizer of text, got one for a source of"):
        measure(store, alpha=2.5)


@pytest.mark.parametrize("spec", [Bytes(), BytePairs(vocab_size=300, sample_bytes=10**6)])
def test_bits_per_byte_do_not_depend_on_the_tokenizer(tmp_path: Path, spec: Any) -> None:
    """One model of bytes, read through either tokenizer; of bytes themselves nats / ln 2 each."""
    module = made_module(tmp_path, tokenizer=spec, eval_tokens=10**6)
    assert module.tokenizer.byte_lengths is not None
    nats = n_tokens = 0
    for batch in module.val_dataloader():
        ids = batch.targets_BT[batch.targets_BT != IGNORE_INDEX].numpy()
        nats += math.log(256) * int(module.tokenizer.byte_lengths[ids].sum())
        n_tokens += len(ids)
    found = score(nats, n_tokens, module.overall_bytes_per_token)
    assert found["bits_per_byte"] == pytest.approx(8.0)
