from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from tests.made import made_record
from windtunnel.interfaces import Curve, Job
from windtunnel.studies.runs import (
    by_seed,
    check_level,
    check_variants,
    difference,
    mean_curve,
    row,
    sign,
    summary,
)

A = {1: 3.0, 2: 3.4, 3: 2.9, 5: 9.0}
B = {1: 2.5, 2: 3.0, 3: 2.6, 4: 1.0}


def test_the_difference_is_a_paired_t_test_over_the_seeds_of_both() -> None:
    found = difference(A, B, 0.9)
    assert found is not None
    expected = stats.ttest_rel([3.0, 3.4, 2.9], [2.5, 3.0, 2.6]).confidence_interval(0.9)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert found["mean"] == pytest.approx(0.4)
    assert found["values"] == pytest.approx([0.5, 0.4, 0.3])
    assert found["sd"] == pytest.approx(0.1)
    back = difference(B, A, 0.9)
    assert back is not None
    assert (back["low"], back["high"]) == pytest.approx((-expected.high, -expected.low))


def test_one_seed_has_no_interval_and_none_no_difference() -> None:
    found = difference({1: 2.0}, B, 0.95)
    assert found == {"mean": -0.5, "sd": None, "low": None, "high": None, "values": [-0.5]}
    assert difference({7: 2.0}, B, 0.95) is None
    assert sign(found) == sign(None) == 0


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1), (-1.0, -1), (-0.4, 0)])
def test_the_sign_is_known_where_the_interval_leaves_0_out(shift: float, expected: int) -> None:
    shifted = {seed: value + shift for seed, value in A.items()}
    assert sign(difference(shifted, B, 0.9)) == expected


def test_means_over_seeds() -> None:
    assert summary({1: 2.0, 4: 3.0}) == {"mean": 2.5, "sd": math.sqrt(0.5), "seeds": 2}
    assert summary({1: 2.0}) == {"mean": 2.0, "sd": None, "seeds": 1}
    assert summary({}) == {"mean": None, "sd": None, "seeds": 0}


def test_a_curve_is_as_long_as_the_shortest() -> None:
    curves = [Curve([10, 20, 30], [4.0, 3.0, 2.0]), Curve([10, 20], [5.0, 3.0])]
    assert mean_curve(curves) == {
        "tokens": [10, 20],
        "loss": [4.5, 3.0],
        "sd": [pytest.approx(math.sqrt(0.5)), 0.0],
    }
    assert mean_curve(curves[:1])["sd"] == [0.0, 0.0, 0.0]
    assert mean_curve([]) == {"tokens": [], "loss": [], "sd": []}


def test_a_row_says_what_a_run_left() -> None:
    job = Job("x-s2", "role", {"model.width": 32, "seed": 2})
    found = [row(job, r, kind="x") for r in (None, made_record(job, None), made_record(job, 2.5))]
    assert [(line["outcome"], line["loss"]) for line in found] == [
        ("missing", None), ("diverged", None), ("finished", 2.5)
    ]  # fmt: skip
    assert found[2]["kind"] == "x"
    assert found[2]["tokens"] == 1_000_000
    assert found[1]["outcome_step"] == 7
    assert by_seed(found) == {2: 2.5}
    assert by_seed(found, "bits") == {}


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ({"a": {}}, "at least 2 variants"),
        ({"a": {}, "b c": {}}, "letters, digits and _"),
        ({"a": {}, "b": {"seed": 1}}, r"study.variants.b: seed is set by the study"),
    ],
)
def test_variants_that_cannot_be_compared_are_refused(variants: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_variants(variants, ("seed",))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match=r"study\.level must lie between 0 and 1"):
        check_level(level)
