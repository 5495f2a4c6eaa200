from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from tests.scorers.made import made_passages, scored
from windtunnel.data.passages import Passages
from windtunnel.scorers.column import Column

TEXTS = ["the first, and more", "the second\nof two lines", "the third"]
VALUES = {text: float(i) / 4 for i, text in enumerate(TEXTS)}


@pytest.fixture
def passages(tmp_path: Path) -> Passages:
    return made_passages(tmp_path, TEXTS)


def table(passages: Passages, **more: Any) -> pa.Table:
    return pa.table(
        {
            "number": [p.number for p in passages],
            "name": [p.name for p in passages],
            "text": [p.text for p in passages],
            "quality": [VALUES[p.text] for p in passages],
            "topic": ["law" if p.text == TEXTS[1] else "art" for p in passages],
            **more,
        }
    )


def settings(file: Path, **changes: Any) -> dict[str, Any]:
    return {"file": str(file), "values": "quality", "by": "number", "key": "number", **changes}


@pytest.mark.parametrize("by", ["number", "name", "text"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_in_any_order_find_their_documents(
    passages: Passages, tmp_path: Path, by: str, suffix: str
) -> None:
    rows = table(passages).take([2, 0, 1])
    rows = pa.concat_tables([rows, rows.slice(0, 1).set_column(0, "number", [[99]])])
    rows = rows.set_column(1, "name", [[*rows["name"].to_pylist()[:3], "another"]])
    rows = rows.set_column(2, "text", [[*rows["text"].to_pylist()[:3], "not trained on"]])
    file = tmp_path / f"own.{suffix}"
    (csv.write_csv if suffix == "csv" else parquet.write_table)(rows, file)
    scorer = Column(**settings(file, by=by, key=by))
    assert scored(scorer, passages) == {text: [value] for text, value in VALUES.items()}
    assert scorer.categories == []


def test_words_become_numbers_that_say_what_they_stand_for(
    passages: Passages, tmp_path: Path
) -> None:
    parquet.write_table(table(passages), tmp_path / "own.parquet")
    scorer = Column(**settings(tmp_path / "own.parquet", values="topic"))
    assert scorer.categories == ["art", "law"]
    assert scored(scorer, passages) == {text: [float(text == TEXTS[1])] for text in TEXTS}


def test_a_value_that_is_missing_is_no_number(passages: Passages, tmp_path: Path) -> None:
    rows = table(passages, quality=[None, 1, 2], topic=[None, "law", "art"])
    parquet.write_table(rows, tmp_path / "own.parquet")
    for values in ("quality", "topic"):
        scorer = Column(**settings(tmp_path / "own.parquet", values=values))
        assert np.isnan(scorer(list(passages))[:, 0]).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": "title"}, r"scorer\.by: expected number, name or text, got 'title'"),
        ({"values": "grade"}, r"scorer\.values: expected .* quality, topic, got 'grade'"),
        ({"key": "id"}, r"scorer\.key: expected .* got 'id'"),
        ({"key": "topic"}, r"scorer\.key: expected each document once .* got art more than once"),
        ({"file": "none.csv"}, r"scorer\.file: expected a CSV or .* none\.csv, which cannot be"),
        ({"by": "name"}, r"expected a row for each of the 3 doc.* for 3 of them by name, such as"),
    ],
)
def test_bad_settings_are_refused(
    passages: Passages, tmp_path: Path, changes: Any, message: str
) -> None:
    parquet.write_table(table(passages), tmp_path / "own.parquet")
    with pytest.raises(ValueError, match=message):
        Column(**{**settings(tmp_path / "own.parquet"), **changes}).fit(passages)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="which cannot be read"):
        Column(**settings(tmp_path / "own.parquet"))
