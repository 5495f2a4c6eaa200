"""Tables: CSV files, exports and records as columns; what is no table is refused with its place."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.made import made_record
from windtunnel.interfaces import Job
from windtunnel.scaling.table import parse_columns, read_table

CSV = """# source: nowhere
width,N_Mi,loss
# a comment between
32,1.5,4.25

64,3,"4"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_with_comments(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, CSV))
    assert table.names == ("line 4", "line 6")
    assert list(table.columns) == ["width", "N_Mi", "loss"]
    wanted = parse_columns("N=N_Mi*1048576, L=loss, one=1")
    found = table.numbers(wanted, {"N", "L"})
    np.testing.assert_array_equal(found["N"], [1572864.0, 3145728.0])
    np.testing.assert_array_equal(found["L"], [4.25, 4.0])
    np.testing.assert_array_equal(found["one"], [1.0, 1.0])
    np.testing.assert_array_equal(table.where("width > 40"), [False, True])
    small = table.take(table.where("width < 40"))
    assert (len(small), small.names) == (1, ("line 4",))
    assert small.columns["loss"].text_M.tolist() == ["4.25"]


def test_an_export_of_wandb(tmp_path: Path) -> None:
    """Every cell quoted, a mark of the byte order, groups in the names, commas in the notes."""
    path = tmp_path / "wandb_export.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["Name", "State", "Notes", "model.n_params", "val/loss"])
        writer.writerow(["a", "finished", "one, two", "1000000", "3.5"])
        writer.writerow(["b", "crashed", "", "2000000", ""])
    table = read_table(path)
    assert next(iter(table.columns)) == "Name"
    wanted = parse_columns("N=`model.n_params`,L=`val/loss`")
    with pytest.raises(ValueError, match="1 of 2 rows hold no finite number above 0: line 3"):
        table.numbers(wanted, {"L"})
    done = table.take(table.where("State == 'finished'"))
    assert done.numbers(wanted, {"L"})["L"].tolist() == [3.5]


def test_a_folder_of_records(tmp_path: Path) -> None:
    for width, loss in ((32, 4.5), (64, None)):
        job = Job(f"w{width}", "rung", {"model.width": width, "seed": 1})
        config = {"model": {"width": width}, "schedule": {"warmup": 3, "final": 0.1}, "seed": 1}
        folder = tmp_path / "ladder" / f"w{width}"
        folder.mkdir(parents=True)
        made_record(job, loss, config=config).save(folder)
    table = read_table(tmp_path)
    assert table.names == ("ladder/w32", "ladder/w64")
    columns = {name: cells.text_M[0] for name, cells in table.columns.items()}
    assert columns["loss"] == "4.5"
    assert columns["D_tokens"] == "1000000"
    assert columns["N_total"] == "82208"
    assert float(columns["C_kaplan"]) > 0
    assert columns["model.width"] == "32"
    assert columns["schedule"] == '{"final": 0.1, "warmup": 3}'
    assert table.columns["outcome"].text_M.tolist() == ["finished", "diverged"]
    assert table.columns["loss"].text_M[1] == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected a header and rows below it; got no row"),
        ("# only a comment\nN,loss\n", "got no row"),
        ("N,loss\n1,2,3\n", "line 2: expected 2 cells, as in the header; got 3"),
        ("N,loss\n1,2\n\n3\n", "line 4: expected 2 cells, as in the header; got 1"),
        ("N,loss,N\n1,2,3\n", "column N comes twice"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_table(write(tmp_path, text))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a CSV file or a folder of records; .*No such"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="expected a folder of records; found no"):
        read_table(tmp_path)
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="expected a CSV file"):
        read_table(path)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (
            ["1", "x", "nan"],
            r"2 of 3 rows hold no .* line 3 \(loss is 'x'\), line 4 \(loss is 'nan'",
        ),
        (["1", "0", "2"], r"1 of 3 rows .* above 0: line 3 \(loss is '0'\)"),
        (["1", "-2", "inf"], r"2 of 3 rows .* line 3 .* line 4 \(loss is 'inf'\)"),
        ([""] * 7, r"7 of 7 rows .* line 6 \(loss is ''\) and 2 more; .* --where \"loss > 0\""),
    ],
)
def test_rows_without_a_number_are_counted_and_named(
    tmp_path: Path, cells: list[str], why: str
) -> None:
    lines = "\n".join(f"1,{cell}" for cell in cells)
    table = read_table(write(tmp_path, f"N,loss\n{lines}\n"))
    with pytest.raises(ValueError, match=f"column L = loss: {why}"):
        table.numbers(parse_columns("L=loss"), {"L"})


def test_only_what_must_be_above_zero_is_held_to_it(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "S2\n-1\n0\n"))
    assert table.numbers(parse_columns("S2=S2"), set())["S2"].tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("N", "expected NAME=COLUMN or NAME=COLUMN"),
        ("N=", "expected NAME=COLUMN"),
        ("=N", "expected NAME=COLUMN"),
        ("N=a,", "expected NAME=COLUMN"),
        ("N=a,N=b", "N is given twice"),
        ("N=a b", "invalid syntax"),
    ],
)
def test_columns_that_cannot_be_read(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_columns(text)


def test_a_comma_in_backquotes_belongs_to_the_name() -> None:
    found = parse_columns("N=`n, in millions`*1e6,L=loss")
    assert {name: each.names for name, each in found.items()} == {
        "N": ("n, in millions",),
        "L": ("loss",),
    }
