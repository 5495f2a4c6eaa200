from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.data.tokenizer import (
    Bytes,
    ByteTokenizer,
    Ids,
    IdTokenizer,
    Tokenizer,
    load_tokenizer,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXT)
def test_bytes_round_trip(text: str) -> None:
    tokenizer = ByteTokenizer()
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids.tolist()) == text
    assert tokenizer.eot not in ids
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())


def test_bytes_leave_out_separators() -> None:
    assert ByteTokenizer().decode([256, 104, 105, 256]) == "hi"
    assert ByteTokenizer().byte_lengths[[104, 256]].tolist() == [1, 0]


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), IdTokenizer(12)])
def test_comes_back_from_disk(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer.to_json()))
    again = load_tokenizer(file)
    assert again.to_json() == tokenizer.to_json()
    assert (again.vocab_size, again.eot) == (tokenizer.vocab_size, tokenizer.eot)


def test_a_kind_from_the_future_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text('{"kind": "telepathy"}')
    with pytest.raises(ValueError, match="of kind 'telepathy', which this windtunnel does not"):
        load_tokenizer(file)


def test_ids_take_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a source of token ids"):
        IdTokenizer(4).encode(["x"])
    with pytest.raises(ValueError, match="expected a source of token ids"):
        Ids().make(lambda n: [], tmp_path)
    assert IdTokenizer(4).decode([1, 2]) == "1 2"


def test_identities(tmp_path: Path) -> None:
    assert Bytes().identity() != Ids().identity()
    assert Bytes().make(lambda n: [], tmp_path).to_json() == {"kind": "bytes"}
