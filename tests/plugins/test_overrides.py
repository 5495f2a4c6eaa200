from __future__ import annotations

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from hydra_plugins.windtunnel_study_sweeper._overrides import grid, of_job, written

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii", exclude_categories=("C",))),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def read_back(override: str) -> Any:
    return OverridesParser.create().parse_override(override).value()


@given(VALUES)
def test_hydra_reads_back_what_was_written(value: Any) -> None:
    assert read_back(written("some.key", value)) == value


@pytest.mark.parametrize(
    "value",
    ["muon", "true", "1", "1e-3", "it's, a 'note'", "a\\", "\\'", "", " x ", "${a.b}", "a=b"],
)
def test_text_stays_text(value: str) -> None:
    assert read_back(written("key", value)) == value


def test_mappings_and_nan_are_written() -> None:
    assert read_back(written("key", {"a": 1, "b": {"c": "x y"}})) == {"a": 1, "b": {"c": "x y"}}
    assert math.isnan(read_back(written("key", math.nan)))


def test_a_grid_spans_lists_and_ranges_and_keeps_the_rest() -> None:
    points = grid(["+recipe=r", "a=1,2", "b=range(0,2)", "c=[1,2]", "d='x,y'"])
    fixed = ["c=[1,2]", "d='x,y'"]
    assert points == [["+recipe=r", f"a={a}", f"b={b}", *fixed] for a in (1, 2) for b in (0, 1)]


def test_a_part_is_left_out_by_null_in_a_grid_and_in_a_job() -> None:
    assert grid(["averaging=null,ema", "seed=1"]) == [
        ["~averaging", "seed=1"],
        ["averaging=ema", "seed=1"],
    ]
    own = {"model/head": None, "model.head.softcap": None}
    assert of_job(["seed=1"], own) == ["seed=1", "~model/head", "model.head.softcap=null"]


def test_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a=interval\(0,1\): expected a list or range"):
        grid(["a=interval(0,1)"])


def test_a_jobs_own_overrides_come_last() -> None:
    merged = of_job(["+recipe=r", "optim=muon"], {"model.width": 64, "role": "rung"})
    assert merged == ["+recipe=r", "optim=muon", "model.width=64", "role=rung"]


@pytest.mark.parametrize("mine", ["seed=3", "+seed=3", "++seed=3"])
def test_a_key_that_the_study_sets_is_refused(mine: str) -> None:
    with pytest.raises(ValueError, match="the study sets seed for each of its jobs"):
        of_job([mine], {"seed": 1})
