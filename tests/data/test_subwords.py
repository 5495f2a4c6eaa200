from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from tests.data.made import sentence
from windtunnel.data.subwords import EOT, BytePairs, Pretrained, SubwordTokenizer
from windtunnel.data.tokenizer import Tokenizer, load_tokenizer

TEXTS = [sentence(i) for i in range(400)]


def trained(cache: Path, vocab_size: int = 300, texts: list[str] = TEXTS) -> Tokenizer:
    return BytePairs(vocab_size=vocab_size, sample_bytes=10_000).make(lambda n: texts, cache)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return trained(tmp_path_factory.mktemp("cache"))


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids.tolist()) == text
    assert tokenizer.byte_lengths is not None
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())


def test_sizes(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 300
    assert tokenizer.byte_lengths is not None
    assert tokenizer.eot is not None
    assert tokenizer.byte_lengths[tokenizer.eot] == 0
    assert sum(map(len, tokenizer.encode(TEXTS))) < 0.8 * sum(map(len, TEXTS))


def test_text_cannot_forge_a_separator(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.encode([f"a{EOT}b"])
    assert tokenizer.eot not in ids
    assert tokenizer.decode(ids.tolist()) == f"a{EOT}b"


def test_training_is_cached_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trained(tmp_path)
    again = trained(tmp_path / "elsewhere")
    assert again.to_json() == first.to_json()
    with monkeypatch.context() as patch:
        patch.setattr(BytePairs, "_train", lambda *_: pytest.fail("trained again"))
        assert trained(tmp_path).to_json() == first.to_json()
    trained(tmp_path, texts=TEXTS[:300])
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_corpus_too_small_for_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"enough different text for 25\d tokens, got 300"):
        trained(tmp_path, texts=["ab"])
    assert not list(tmp_path.glob("*.json"))


def test_a_vocabulary_below_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.vocab_size: expected at least 257"):
        BytePairs(vocab_size=256, sample_bytes=1)


def test_comes_back_from_disk(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer.to_json()))
    again = load_tokenizer(file)
    assert again.eot == tokenizer.eot
    assert again.encode(TEXTS[:3])[2].tolist() == tokenizer.encode(TEXTS[:3])[2].tolist()


# --------------------------------------------------------------------------------------- pretrained


@pytest.fixture
def given_file(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    file = tmp_path / "given.json"
    definition = tokenizer.to_json()["tokenizer"]
    definition["truncation"] = {
        "direction": "Right",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    file.write_text(json.dumps(definition))
    return file


def pretrained(path: Path | str, **changes: Any) -> Pretrained:
    return Pretrained(**{"path": str(path), "vocab_size": None, "eot": EOT, **changes})


def test_reads_a_given_file(tmp_path: Path, given_file: Path, tokenizer: Tokenizer) -> None:
    made = pretrained(given_file, vocab_size=300).make(lambda n: [], tmp_path)
    assert made.encode(TEXTS[:1])[0].tolist() == tokenizer.encode(TEXTS[:1])[0].tolist()


def test_a_vocabulary_that_does_not_match_is_refused(tmp_path: Path, given_file: Path) -> None:
    with pytest.raises(ValueError, match=r"given\.json has 300 tokens, got 1024"):
        pretrained(given_file, vocab_size=1024).make(lambda n: [], tmp_path)


def test_a_missing_separator_is_refused(tmp_path: Path, given_file: Path) -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.eot: .*no token '</s>'.*endoftext"):
        pretrained(given_file, eot="</s>").make(lambda n: [], tmp_path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text("{")
    for path in (file, tmp_path / "missing.json"):
        with pytest.raises(ValueError, match=r"tokenizer\.path: expected a tokenizer\.json"):
            pretrained(path).make(lambda n: [], tmp_path)


def test_identity_follows_the_file(given_file: Path) -> None:
    before = pretrained(given_file).identity()
    assert pretrained(given_file).identity() == before
    given_file.write_text(given_file.read_text() + " ")
    assert pretrained(given_file).identity() != before


def test_a_vocabulary_of_words_does_not_say_its_bytes() -> None:
    words = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1, EOT: 2}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens([EOT])
    assert SubwordTokenizer(words.to_str(), EOT).byte_lengths is None
