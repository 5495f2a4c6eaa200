"""Scores: named columns beside a token store, a number for each training document, row or token.

A column is the Parquet file `STORE/scores/NAME.parquet` with one float32 column, in the order of
the store. Its metadata says of which store and tokenizer it is, what it counts (its level), and
who computed it; a column of another store is refused, since it would be misaligned in silence. A
column that a job kept in its own folder is read by its path in place of its name.

Levels: `document`, in the order of `train.starts`; `row`, windows of `length` predictions of the
packed stream; `token`, every token of that stream, separators included.

No value is NaN. -inf is the score of what was not scored and is not to be chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import ndarray

from windtunnel.data.packing import STARTS, TRAIN, token_type
from windtunnel.files import replacing

Level = Literal["document", "row", "token"]

SCORES = "scores"
VALUES = "score"
_METADATA = b"windtunnel"
_SHOWN = 5


class Column(NamedTuple):
    """A column as it was read: values [n], and what its file says about them."""

    values: ndarray
    facts: dict[str, Any]


def path_of(store_folder: Path, name: str) -> Path:
    """The file of a column: by its name in the store, or by a path that ends in `.parquet`.

    Raises:
        ValueError: it is neither.
    """
    if name.endswith(".parquet"):
        return Path(name).expanduser()
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(
            f"score: expected a name of letters, digits, '_', '.' and '-', or the path of a "
            f".parquet file, got {name!r}; rename it"
        )
    return store_folder / SCORES / f"{name}.parquet"


def names(store_folder: Path) -> list[str]:
    """Names of the columns that a store has."""
    return sorted(file.stem for file in (store_folder / SCORES).glob("*.parquet"))


def write(store_folder: Path, name: str, values: ndarray, *, facts: Mapping[str, Any]) -> Path:
    """Writes a column whole or not at all.

    Args:
        store_folder: the folder of the token store.
        name: of the column, or the path of a file elsewhere.
        values: scores [n], one for each document, row or token.
        facts: what computed them, in JSON values; `level` where it is not `document`, and the
            `length` of a row.

    Raises:
        ValueError: values that are missing or not numbers, or a name that another column has.
    """
    file = path_of(store_folder, name)
    about = json.loads(json.dumps({"level": "document", **facts, **_store_facts(store_folder)}))
    column = np.ascontiguousarray(values, np.float32)
    _check(column, about, store_folder, file)
    if file.is_file() and (there := _read_file(file).facts) != about:
        different = sorted(k for k in {**there, **about} if there.get(k) != about.get(k))
        raise ValueError(
            f"score {name}: expected a name that no other column has, got one whose file {file} "
            f"differs in {', '.join(different)}; give another name, or remove the file"
        )
    _write_file(file, column, about)
    return file


def read(store_folder: Path, name: str, *, level: Level = "document") -> ndarray:
    """Scores [n] of a store's documents, rows or tokens, in its order.

    Raises:
        ValueError: there is no such column, or it is not of this store or level.
    """
    return read_column(store_folder, name, level=level).values


def read_column(store_folder: Path, name: str, *, level: Level = "document") -> Column:
    """As `read`, with what the file says about the scores."""
    file = path_of(store_folder, name)
    if not file.is_file():
        there = ", ".join(names(store_folder)) or "none"
        raise ValueError(
            f"score {name}: expected a column of the store {store_folder}, got none at {file}; it "
            f"has {there}; compute one with +recipe=score scorer=... scorer.column={name}"
        )
    column = _read_file(file)
    own = _store_facts(store_folder)
    for key, what in (("store", "of the store"), ("tokenizer", "made with the tokenizer")):
        if column.facts.get(key) != own[key]:
            raise ValueError(
                f"score {name}: expected a column {what} {own[key]}, got one of "
                f"{column.facts.get(key)} in {file}: the text, the tokenizer or the split is "
                "another; compute the score anew for this data"
            )
    if column.facts.get("level") != level:
        raise ValueError(
            f"score {name}: expected scores by {level}, got scores by {column.facts.get('level')} "
            f"in {file}; choose a column of that level"
        )
    _check(column.values, column.facts, store_folder, file)
    return column


def count(store_folder: Path, about: Mapping[str, Any]) -> int:
    """How many numbers a column of the level that `about` names must have.

    Raises:
        ValueError: the level is unknown, or a row has no length.
    """
    level = about["level"]
    if level == "document":
        return (store_folder / STARTS).stat().st_size // np.dtype(np.int64).itemsize
    meta = _meta(store_folder)
    itemsize = np.dtype(token_type(meta["vocab_size"])).itemsize
    n_tokens = (store_folder / TRAIN).stat().st_size // itemsize
    if level == "token":
        return n_tokens
    if level == "row" and isinstance(about.get("length"), int) and about["length"] > 0:
        return (n_tokens - 1) // about["length"]
    raise ValueError(
        f"score: expected level document, token, or row with a length above 0, got {level!r} with "
        f"length {about.get('length')!r}; name one of them"
    )


def _check(values: ndarray, about: Mapping[str, Any], store_folder: Path, file: Path) -> None:
    level, wanted = about["level"], count(store_folder, about)
    if values.shape != (wanted,):
        raise ValueError(
            f"score {file.stem}: expected one number for each of the {wanted} {level}s of the "
            f"store, got shape {list(values.shape)}; compute the score anew for this data"
        )
    wrong = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(wrong):
        shown = ", ".join(f"{i} ({values[i]})" for i in wrong[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ValueError(
            f"score {file.stem}: expected a number for every {level}, got none for {level} "
            f"{shown}{more}; give -inf to those that are not to be chosen"
        )


def _write_file(file: Path, values: ndarray, about: Mapping[str, Any]) -> None:
    import pyarrow as pa  # slow to import, and most runs need no score
    from pyarrow import parquet

    table = pa.table({VALUES: pa.array(values)})
    table = table.replace_schema_metadata({_METADATA: json.dumps(about).encode()})
    with replacing(file) as part:
        parquet.write_table(table, part)


def _read_file(file: Path) -> Column:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
        facts = json.loads((table.schema.metadata or {})[_METADATA])
        return Column(table[VALUES].to_numpy().astype(np.float32, copy=False), facts)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise ValueError(
            f"score: expected a column that windtunnel wrote, got {file}, which is damaged or has "
            "no such metadata; a column of your own is taken in by scorer=column scorer.file=FILE"
        ) from error


def _store_facts(store_folder: Path) -> dict[str, str]:
    meta = _meta(store_folder)
    return {"store": meta["store"], "tokenizer": meta["tokenizer"]}


def _meta(store_folder: Path) -> dict[str, Any]:
    return json.loads((store_folder / "meta.json").read_text())
