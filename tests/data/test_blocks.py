from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made import MadeSource, made_documents
from windtunnel.data import scores
from windtunnel.data.blocks import Blocks
from windtunnel.data.documents import Documents
from windtunnel.data.store import open_store
from windtunnel.data.tokenizer import Bytes


def made_blocks(**changes: Any) -> Blocks:
    return Blocks(**{"score": "quality", "descending": False, "blocks": 4, **changes})


def rows(order: Blocks, n: int, n_rows: int, seed: tuple[int, int] = (3, 0)) -> list[int]:
    visits = np.arange(n)
    return order.rows(visits, np.zeros(n), n_rows, seed).tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 70))
def test_a_pass_shows_every_row_once_block_after_block(n_rows: int, blocks: int) -> None:
    order = made_blocks(blocks=blocks)
    found = rows(order, 2 * n_rows, n_rows)
    for passed in (found[:n_rows], found[n_rows:]):
        assert sorted(passed) == list(range(n_rows))
        own = [row * blocks // n_rows for row in passed]
        assert own == sorted(own)


def test_blocks_are_shuffled_anew_in_every_pass_by_the_seed() -> None:
    order = made_blocks()
    found = rows(order, 200, 100)
    assert found[:25] != sorted(found[:25])
    assert found[:100] != found[100:]
    assert rows(order, 200, 100) == found
    assert rows(order, 200, 100, seed=(4, 0)) != found
    assert rows(order, 200, 100, seed=(3, 1)) != found
    one_by_one = [order.rows(np.array([v]), np.zeros(1), 100, (3, 0))[0] for v in range(200)]
    assert one_by_one == found


def test_one_block_is_a_shuffle_and_as_many_as_rows_a_sorted_order() -> None:
    found = rows(made_blocks(blocks=1), 100, 100)
    assert np.abs(np.corrcoef(found, range(100))[0, 1]) < 0.3
    assert rows(made_blocks(blocks=100), 100, 100) == list(range(100))


def test_documents_are_laid_out_by_score(tmp_path: Path) -> None:
    source = MadeSource(made_documents(30))
    store = open_store(source, Bytes(), held_out=0.2, cache=tmp_path, progress=None)
    documents = Documents(store)
    values = np.random.default_rng(0).random(len(documents)).astype(np.float32)
    scores.write(store.folder, "quality", values, facts={})
    everything = np.arange(len(documents), dtype=np.int32)
    laid = made_blocks().lay(documents, everything)
    assert values[laid].tolist() == sorted(values.tolist())
    back = made_blocks(descending=True).lay(documents, everything)
    assert values[back].tolist() == sorted(values.tolist(), reverse=True)


def test_no_block_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler\.order\.blocks: expected at least 1, got 0"):
        made_blocks(blocks=0)
