"""Two tables: the design that was made better is found, and pairing sharpens the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scaling.test_request import PLAIN
from windtunnel.scaling.rivals import compare_tables
from windtunnel.scaling.table import Table, read_table

ASKED = replace(
    PLAIN, law="power_law", columns="L=loss", targets=({"N": 1e6},), loss_kind="least_squares",
    delta=None, level=0.9, n_resamples=400,
)  # fmt: skip
N = np.repeat(np.geomspace(1e3, 3e4, 6), 3)
SEED = np.tile([1, 2, 3], 6)
SD = 0.01


@pytest.fixture
def tables(tmp_path: Path) -> Any:
    """Two designs, a N^b each, whose runs share nine tenths of their noise."""

    def make(theta_a: tuple[float, float], theta_b: tuple[float, float]) -> list[Any]:
        common, *own = SD * np.random.default_rng(5).standard_normal((3, len(N)))
        out = []
        for name, (a, b), noise in zip("AB", (theta_a, theta_b), own, strict=True):
            loss = a * N**b + 0.9**0.5 * common + 0.1**0.5 * noise
            rows = [
                f"{n!r},{s},{y!r}" for n, s, y in zip(N.tolist(), SEED, loss.tolist(), strict=True)
            ]
            path = tmp_path / f"{name}.csv"
            path.write_text("\n".join(["N,seed,loss", *rows]))
            out.append((name, read_table(path)))
        return out

    return make


def test_the_better_design_is_found_and_where_it_becomes_so(tables: Any) -> None:
    """8 N^-0.15 and 7 N^-0.135 are equal where N^0.015 = 8/7, at N = 7368."""
    found = compare_tables(ASKED, tables((8.0, -0.15), (7.0, -0.135)), ["N", "seed"]).values
    assert found["probability"] > 0.99
    assert found["low"] < 8 * 1e6**-0.15 - 7 * 1e6**-0.135 < found["high"]
    crossing = found["crossing"]
    assert crossing["low"] < (8 / 7) ** (1 / 0.015) < crossing["high"]
    assert [each["name"] for each in found["designs"]] == ["A", "B"]


def test_pairs_sharpen_the_verdict(tables: Any) -> None:
    designs = tables((8.0, -0.15), (8.0, -0.15))
    single, pairs = (compare_tables(ASKED, designs, p).values for p in ([], ["N", "seed"]))
    assert (single["n_pairs"], pairs["n_pairs"]) == (0, len(N))
    assert pairs["rho"] > 0.8
    assert pairs["high"] - pairs["low"] < 0.6 * (single["high"] - single["low"])


@pytest.mark.parametrize(
    ("changes", "pair", "words"),
    [
        ({"law": "auto"}, [], "law: give the name of one law"),
        ({"targets": ()}, [], "predict: give one target .* got 0"),
        ({"targets": ({"D": 1.0},)}, [], "predict: power_law also needs N"),
        ({"columns": "L=gone"}, [], "A: .*gone"),
        ({}, ["width"], "pair: there is no column width; there are N, seed, loss"),
    ],
)
def test_what_is_of_no_use_is_refused(
    tables: Any, changes: dict[str, Any], pair: list[str], words: str
) -> None:
    designs: list[tuple[str, Table]] = tables((8.0, -0.15), (7.0, -0.15))
    with pytest.raises(ValueError, match=words):
        compare_tables(replace(ASKED, **changes), designs, pair)
