"""Rows and columns of a request, and what is refused before anything is fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windtunnel.scaling.laws import by_name
from windtunnel.scaling.request import Request, data_of, parse_target, taken
from windtunnel.scaling.table import Table, read_table

PLAIN = Request(
    law="chinchilla",
    columns="N=N_M*1e6,L=loss",
    where=None,
    holdout=None,
    targets=(),
    budgets=(),
    loss_kind="huber_log",
    delta=1e-3,
    n_resamples=None,
    group=None,
    level=0.9,
    seed=0,
)
CSV = "N_M,D,loss,seed\n1,20,4.5,a\n2,40,4.0,b\n4,80,3.5,a\n8,160,3.25,b\n"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "runs.csv"
    path.write_text(CSV)
    return read_table(path)


def test_rows_and_columns(table: Table) -> None:
    request = replace(PLAIN, where="N_M > 1", holdout="N_M == 8", group="seed")
    data = data_of(by_name("chinchilla"), request, taken(request, table))
    own, held = data.fitted(), data.held()
    np.testing.assert_array_equal(own.x["N"], [2e6, 4e6])
    np.testing.assert_array_equal(own.x["D"], [40, 80])  # by its own name
    np.testing.assert_array_equal(own.loss_M, [4.0, 3.5])
    assert own.group_M is not None
    assert own.group_M.tolist() == ["b", "a"]
    np.testing.assert_array_equal(held.loss_M, [3.25])
    assert held.x["N"].tolist() == [8e6]


def test_columns_that_the_law_does_not_need_are_kept_for_the_cost(table: Table) -> None:
    request = replace(PLAIN, columns="N=N_M,D=D,L=loss", where="D == 20")
    data = data_of(by_name("power_law"), request, taken(request, table))
    assert {name: values.tolist() for name, values in data.x.items()} == {"N": [1.0], "D": [20.0]}
    assert data.group_M is None
    assert not data.held_M.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": "L=loss"}, r"chinchilla needs N, a column; .* --columns N=COLUMN; .* N_M, D"),
        ({"columns": "N=N_M"}, r"chinchilla needs L, what it predicts; .* L=COLUMN"),
        ({"columns": "N=size,L=loss"}, "there is no column size; there are N_M, D, loss, seed"),
        ({"columns": "N=seed,L=loss"}, r"4 of 4 rows hold no finite number above 0: line 2 \(seed"),
        ({"columns": "N=N_M,L=loss-3.5"}, "2 of 4 rows hold no finite number above 0: line 4"),
        ({"where": "N_M > 9"}, "where: expected .* some of the 4 rows meet; 'N_M > 9' meets none"),
        ({"where": "N_M >"}, "expression 'N_M >': invalid syntax"),
        ({"holdout": "N_M > 9"}, "holdout: .* leaves others; 'N_M > 9' sets aside 0 of 4"),
        ({"holdout": "N_M > 0"}, "sets aside 4 of 4"),
        ({"group": "kind"}, "group: there is no column kind; there are N_M, D, loss, seed"),
        ({"law": "power_law"}, "column D: the table mixes lengths of training"),
    ],
)
def test_what_is_refused(table: Table, change: dict[str, Any], message: str) -> None:
    request = replace(PLAIN, **change)
    with pytest.raises(ValueError, match=message):
        data_of(by_name(request.law), request, taken(request, table))


def test_targets() -> None:
    assert parse_target("N=7e10, D=1.4e12") == {"N": 7e10, "D": 1.4e12}
    for text in ("N", "N=", "N=x", "N=1,", "N=1=2"):
        with pytest.raises(ValueError, match="predict: expected NAME=NUMBER between commas; got"):
            parse_target(text)
