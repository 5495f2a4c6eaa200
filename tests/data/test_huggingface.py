from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.made import sentence
from windtunnel.data.huggingface import HuggingFace

ROWS = [{"text": sentence(i), "kind": "ab"[i % 2], "number": i} for i in range(12)]


def source(name: str | Path, **changes: Any) -> HuggingFace:
    settings: dict[str, Any] = {
        "config": None,
        "split": "train",
        "column": "text",
        "domain_column": None,
        "files": None,
        "revision": None,
        "streaming": False,
        "n_documents": None,
    }
    return HuggingFace(name=str(name), **{**settings, **changes})


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    file = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
    return file


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_reads_local_files(kind: str, streaming: bool, request: Any) -> None:
    file = request.getfixturevalue({"json": "lines", "parquet": "parquet"}[kind])
    documents = list(source(kind, files=str(file), streaming=streaming).documents())
    assert [d.content for d in documents] == [row["text"] for row in ROWS]
    assert {d.domain for d in documents} == {kind}
    assert len({d.group for d in documents}) == 12


def test_reads_a_folder_with_domains_and_a_limit(lines: Path) -> None:
    made = source(lines.parent, domain_column="kind", n_documents=5)
    assert [d.domain for d in made.documents()] == ["a", "b", "a", "b", "a"]


def test_listing_follows_local_files(lines: Path) -> None:
    made = source("json", files=str(lines.parent / "*.jsonl"))
    before = made.listing()
    assert before == made.listing()
    assert len(before.identity["found"]) == 1
    lines.write_text(lines.read_text() + json.dumps(ROWS[0]))
    assert made.listing() != before
    assert len(source(lines.parent).listing().identity["found"]) == 1
    assert source("some/name").listing().identity["found"] == []
    assert source("text", files=["https://example.org/x"]).listing().identity["found"] == []


def test_files_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.files: expected files that match .*, got none"):
        source("json", files=str(tmp_path / "*.jsonl")).listing()


def test_columns_are_checked(lines: Path) -> None:
    with pytest.raises(ValueError, match=r"expected one of \['kind', 'number', 'text'\], got 'x'"):
        list(source("json", files=str(lines), column="x").documents())
    with pytest.raises(ValueError, match=r"expected one of .*, got 'y'"):
        list(source("json", files=str(lines), domain_column="y").documents())
    with pytest.raises(ValueError, match=r"expected text in column 'number', got int"):
        list(source("json", files=str(lines), column="number").documents())


@pytest.mark.parametrize(
    "changes", [{"split": "test"}, {"name": "jsonn"}, {"name": "no/such-dataset", "files": None}]
)
def test_what_cannot_be_loaded_is_refused(lines: Path, changes: dict[str, Any]) -> None:
    settings = {"name": "json", "files": str(lines), **changes}
    with pytest.raises(ValueError, match=r"data\.name: the dataset .* cannot be loaded"):
        list(source(**settings).documents())


def test_facts_leave_out_what_is_not_set() -> None:
    assert source("a/b").facts() == {"name": "a/b", "split": "train", "column": "text"}
