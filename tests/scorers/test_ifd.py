from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.scorers.made import made_passages, scored
from windtunnel.data.passages import Passages
from windtunnel.data.store import open_store
from windtunnel.data.synthetic import MarkovSource
from windtunnel.data.tokenizer import Ids
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.scorers.ifd import Ifd

MARKER = "\nA:"


class Sized:
    """A model whose loss of a token is the token over 100 and over the length of its row."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.rows: list[list[int]] = []

    def nats(self, rows_BT: np.ndarray) -> np.ndarray:
        for row in rows_BT:
            self.rows.append([int(i) for i in row if i != IGNORE_INDEX])
        n_B = (rows_BT[:, 1:] != IGNORE_INDEX).sum(1, keepdims=True)
        return np.where(rows_BT[:, 1:] == IGNORE_INDEX, 0, rows_BT[:, 1:] / n_B / 100)


def test_the_response_is_scored_with_its_instruction_and_without(tmp_path: Path) -> None:
    model = Sized(100)
    text = "Q: how" + MARKER + " so"
    found = scored(Ifd(model=model, marker=MARKER), made_passages(tmp_path, [text]))
    y = sum(b" so") / 3 / 100
    assert found[text] == [pytest.approx(math.exp(y / len(text)) / math.exp(y / 3))]
    assert sorted(model.rows) == sorted([[256, *text.encode()], [256, *b" so"]])


def test_what_has_no_marker_or_no_response_is_not_scored(tmp_path: Path) -> None:
    unfit = ["no marker", f"nothing behind{MARKER} ", f"too long a question{MARKER} a"]
    texts = [*unfit, f"q{MARKER}a"]
    found = scored(Ifd(model=Sized(8), marker=MARKER), made_passages(tmp_path, texts))
    assert [found[text] for text in unfit] == [[-math.inf]] * 3
    assert found[texts[3]][0] > -math.inf


def test_a_response_is_cut_to_the_length_of_the_model(tmp_path: Path) -> None:
    model = Sized(10)
    text = f"q{MARKER} a long response"
    scored(Ifd(model=model, marker=MARKER), made_passages(tmp_path, [text]))
    assert sorted(model.rows) == sorted([[256, *text.encode()[:10]], [256, *b" a lon"]])


def test_an_empty_marker_and_ids_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scorer\.marker: expected the text that ends"):
        Ifd(model=Sized(10), marker="")
    source = MarkovSource(
        vocab_size=8, strength=1.5, exponent=1.0, train_tokens=50, held_out_tokens=20, seed=1
    )
    store = open_store(source, Ids(), held_out=0.0, cache=tmp_path, progress=None)
    with pytest.raises(ValueError, match="scorer=ifd: expected text, in which"):
        Ifd(model=Sized(10), marker="x").fit(Passages(store))
