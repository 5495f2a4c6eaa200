"""Expressions: what they give against the same written in numpy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.query import Cells, parse

TEXT = {
    "N": ["1", "20", "300", "4000", "50000"],
    "loss": ["4.5", "nan", "", "3.5", "crashed"],
    "set": ["c4", "c4", "rpj", "rpj", "it's"],
    "val/loss": ["5", "4", "3", "2", "1"],
}


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


COLUMNS = {
    name: Cells(np.array(cells, object), np.array([number(cell) for cell in cells]))
    for name, cells in TEXT.items()
}
N = COLUMNS["N"].number_M
VAL = COLUMNS["val/loss"].number_M


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("N < 300", [0, 1]),
        ("N <= 300 and N != 20", [0, 2]),
        ("20 <= N < 4000", [1, 2]),
        ("not (N > 20 or set == 'c4')", []),
        ("set == 'rpj'", [2, 3]),
        ("'c4' != set", [2, 3, 4]),
        ('set in ("c4", "it\'s")', [0, 1, 4]),
        ("N not in [20, 300]", [0, 3, 4]),
        ("N in ()", []),
        ("`val/loss` >= 4", [0, 1]),
        ("N / `val/loss` > 1e3 - 5 * 2 ** 2 + 20", [3, 4]),
        ("-N < -300", [3, 4]),
        ("loss > 0", [0, 3]),
        ("loss < 4", [3]),
        ("loss == ''", [2]),
        ("loss == 'crashed' or 1 == 2", [4]),
        ("1 < 2", [0, 1, 2, 3, 4]),
    ],
)
def test_conditions(text: str, rows: list[int]) -> None:
    found = parse(text).truth(COLUMNS, 5)
    assert found.dtype == bool
    assert np.flatnonzero(found).tolist() == rows


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("N*1048576", N * 1048576),
        ("6 * N * `val/loss`", 6 * N * VAL),
        ("(N + 1) / -`val/loss` ** 2", (N + 1) / -(VAL**2)),
        ("7", np.full(5, 7.0)),
        ("loss", np.array([4.5, np.nan, np.nan, 3.5, np.nan])),
        ("N / 0", np.full(5, np.inf)),
    ],
)
def test_numbers(text: str, values: np.ndarray) -> None:
    np.testing.assert_array_equal(parse(text).numbers(COLUMNS, 5), values)


def test_the_names_are_known() -> None:
    assert parse("N + `val/loss` * N > 'set'").names == ("N", "val/loss")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("N <", "invalid syntax"),
        ("N = 3", "invalid syntax.*== != <"),
        ("", "invalid syntax"),
        ("(" * 300, "too many nested parentheses"),
        ("N" * 3000, "more than 2000 characters"),
    ],
)
def test_what_cannot_be_parsed(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("M > 1", "there is no column M; there are N, loss, set, val/loss; .* backquotes"),
        ("N", "expected a condition such as loss < 4; got a value"),
        ("'c4'", "expected a condition"),
        ("__import__('os').system('true')", "there is no column __import__"),
        ("N.real > 1", "'N.real' is not allowed"),
        ("(lambda: N)() > 1", r"'\(lambda: N\)\(\)' is not allowed"),
        ("[N for N in N]", "is not allowed"),
        ("N[0] > 1", "is not allowed"),
        ("f'{N}' == 'c4'", "is not allowed"),
        ("N > 1 & N < 3", "'1 & N' is not allowed"),
        ("N is 1", "use =="),
        ("set > 'c4'", "a string can only be compared by"),
        ("'a' == 'b'", None),
        ("'c4' == 3", "a string can only be compared with a column"),
        ("set in 'c4'", "'c4'.* is no list"),
        ("N + 'c4' > 1", "a string or a condition stands where a number is wanted"),
        ("(N > 1) + 1 > 1", "a string or a condition stands"),
        ("N > 1 and N", "there is a value"),
        ("not N", "there is a value"),
        (f"N > 1{'0' * 400}", "too large"),
        ("-" * 1900 + "N > 1", "expression"),
    ],
)
def test_what_is_refused(text: str, why: str | None) -> None:
    if why is None:
        assert not parse(text).truth(COLUMNS, 5).any()
        return
    with pytest.raises(ValueError, match=why):
        parse(text).truth(COLUMNS, 5)


def test_a_condition_is_no_column() -> None:
    with pytest.raises(ValueError, match="expected numbers; got a condition"):
        parse("N > 1").numbers(COLUMNS, 5)
    with pytest.raises(ValueError, match="a string or a condition stands"):
        parse("'c4'").numbers(COLUMNS, 5)
