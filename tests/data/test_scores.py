from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.made import MadeSource, made_documents
from windtunnel.data import scores
from windtunnel.data.packing import STARTS, TRAIN
from windtunnel.data.store import Store, map_file, open_store
from windtunnel.data.tokenizer import Bytes

FACTS = {"scorer": "made", "settings": {"a": [1, 2]}}


def opened(cache: Path, n: int = 60) -> Store:
    source = MadeSource(made_documents(n))
    return open_store(source, Bytes(), held_out=0.3, cache=cache, progress=None)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return opened(tmp_path_factory.mktemp("built"))


@pytest.fixture
def store(built: Store, tmp_path: Path) -> Store:
    """A store of the test's own."""
    return Store(shutil.copytree(built.folder, tmp_path / "store"), built.meta)


def n_documents(store: Store) -> int:
    return len(map_file(store.folder / STARTS, "int64"))


def numbers(store: Store) -> np.ndarray:
    return np.arange(n_documents(store)) / 7


def test_a_column_is_read_as_it_was_written(store: Store) -> None:
    file = scores.write(store.folder, "seventh", numbers(store), facts=FACTS)
    assert file == store.folder / "scores/seventh.parquet"
    column = scores.read_column(store.folder, "seventh")
    assert column.values.dtype == np.float32
    assert (column.values == numbers(store).astype(np.float32)).all()
    own = {key: store.meta[key] for key in ("store", "tokenizer")}
    assert column.facts == {**FACTS, **own, "level": "document"}
    assert (scores.read(store.folder, "seventh") == column.values).all()
    assert scores.names(store.folder) == ["seventh"]


def test_a_column_in_another_folder_is_read_by_its_path(store: Store, tmp_path: Path) -> None:
    path = str(tmp_path / "job/scores/mine.parquet")
    scores.write(store.folder, path, numbers(store), facts=FACTS)
    assert scores.names(store.folder) == []
    assert (scores.read(store.folder, path) == numbers(store).astype(np.float32)).all()


@pytest.mark.parametrize(
    ("facts", "n"),
    [({"level": "token"}, lambda n: n), ({"level": "row", "length": 16}, lambda n: (n - 1) // 16)],
)
def test_rows_and_tokens_have_columns_of_their_own(store: Store, facts: Any, n: Any) -> None:
    values = np.arange(n(len(store.stream(TRAIN))), dtype=np.float32)
    scores.write(store.folder, "each", values, facts=facts)
    assert (scores.read(store.folder, "each", level=facts["level"]) == values).all()
    with pytest.raises(ValueError, match=r"by document, got scores by (token|row) in .*; choose"):
        scores.read(store.folder, "each")


def test_what_is_not_to_be_chosen_is_minus_infinity(store: Store) -> None:
    values = numbers(store)
    values[3] = -np.inf
    scores.write(store.folder, "some", values, facts=FACTS)
    assert scores.read(store.folder, "some")[3] == -np.inf


def test_the_same_column_may_be_written_again_and_another_may_not(store: Store) -> None:
    scores.write(store.folder, "a", numbers(store), facts=FACTS)
    scores.write(store.folder, "a", numbers(store), facts=FACTS)
    with pytest.raises(ValueError, match=r"score a: expected a name .* differs in settings; give"):
        scores.write(store.folder, "a", numbers(store), facts={**FACTS, "settings": {}})
    assert scores.read_column(store.folder, "a").facts["settings"] == {"a": [1, 2]}


def test_a_column_is_whole_or_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: Any) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr("pyarrow.parquet.write_table", fill)
    with pytest.raises(ValueError, match=r"could not write .*a\.parquet: No space left"):
        scores.write(store.folder, "a", numbers(store), facts=FACTS)
    assert list((store.folder / "scores").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[1:], r"score a: expected one number for each of the 42 documents .*\[41\]"),
        (lambda v: v[:, None], r"expected one number for each of the 42 documents .*\[42, 1\]"),
        (
            lambda v: np.where(v < 1, np.nan, v),
            r"got none for document 0 \(nan\), 1 \(nan\), .*, 4 \(nan\) and 2 more; give -inf",
        ),
        (lambda v: np.where(v == 0, np.inf, v), r"got none for document 0 \(inf\); give -inf"),
    ],
)
def test_what_is_no_column_is_refused(store: Store, change: Any, message: str) -> None:
    assert n_documents(store) == 42
    with pytest.raises(ValueError, match=message):
        scores.write(store.folder, "a", change(numbers(store)), facts=FACTS)
    assert scores.names(store.folder) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"level": "word"}, "expected level document, token, or row .* got 'word'"),
        ({"level": "row"}, "row with a length above 0, got 'row' with length None"),
        ({"level": "row", "length": 0}, "got 'row' with length 0"),
    ],
)
def test_an_unknown_level_is_refused(store: Store, facts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores.write(store.folder, "a", numbers(store), facts=facts)


def test_a_missing_column_is_said_with_those_that_are_there(store: Store) -> None:
    scores.write(store.folder, "b", numbers(store), facts=FACTS)
    with pytest.raises(ValueError, match=r"score a: .* it has b; compute one with \+recipe=score"):
        scores.read(store.folder, "a")
    with pytest.raises(ValueError, match=r"score: expected a name of letters.*got 'a/b'"):
        scores.read(store.folder, "a/b")


@pytest.mark.parametrize("key", ["store", "tokenizer"])
def test_a_column_of_another_store_is_refused(store: Store, key: str) -> None:
    scores.write(store.folder, "a", numbers(store), facts=FACTS)
    meta = json.loads((store.folder / "meta.json").read_text())
    (store.folder / "meta.json").write_text(json.dumps({**meta, key: "another"}))
    with pytest.raises(ValueError, match=f"{key} another, got one of {meta[key]} in .*; compute"):
        scores.read(store.folder, "a")


def test_a_column_of_a_changed_corpus_is_refused_by_its_key(store: Store, tmp_path: Path) -> None:
    path = str(tmp_path / "kept.parquet")
    scores.write(store.folder, path, numbers(store), facts=FACTS)
    with pytest.raises(ValueError, match="expected a column of the store"):
        scores.read(opened(tmp_path, 61).folder, path)


def test_numbers_that_turned_bad_in_the_file_are_seen(store: Store) -> None:
    from pyarrow import parquet

    file = scores.write(store.folder, "a", numbers(store), facts=FACTS)
    table = parquet.read_table(file)
    values = table["score"].to_numpy().copy()
    values[5] = np.nan
    parquet.write_table(table.set_column(0, table.schema.field(0), [values]), file)
    with pytest.raises(ValueError, match=r"got none for document 5 \(nan\)"):
        scores.read(store.folder, "a")


@pytest.mark.parametrize("damage", ["torn", "foreign"])
def test_a_damaged_or_foreign_file_is_said(store: Store, damage: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file = scores.write(store.folder, "a", numbers(store), facts=FACTS)
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        parquet.write_table(pa.table({"score": numbers(store)}), file)
    with pytest.raises(ValueError, match=r"expected a column that windtunnel wrote, got .*a\.parq"):
        scores.read(store.folder, "a")
