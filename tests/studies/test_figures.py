from __future__ import annotations

import math

import pytest

from tests.made import made_record
from windtunnel.interfaces import Curve, Job
from windtunnel.studies.figures import figure_of, means, spread

JOB = Job("j", "rung", {"model.width": 16, "seed": 1})


def test_the_spread_is_that_of_the_logarithms_of_the_second_half_whatever_the_scale() -> None:
    tokens = [10, 20, 30, 40, 50, 60]
    values = [1e6, 5.0, 1e-6, 1.0, math.e, math.e**2]
    assert spread(Curve(tokens, values)) == pytest.approx(1.0)
    assert spread(Curve(tokens, [1000 * v for v in values])) == pytest.approx(1.0)
    assert spread(Curve(tokens, [2.0] * 6)) == 0


@pytest.mark.parametrize(
    "curve", [Curve(), Curve([10], [1.0]), Curve([10, 20], [1.0, 1.0]), Curve([1, 2, 3], [1, 0, 1])]
)
def test_too_few_norms_have_no_spread(curve: Curve) -> None:
    assert spread(curve) is None


def test_figures_are_found_by_their_path() -> None:
    curve = Curve([10, 20, 30, 40], [1.0, 1.0, 1.0, math.e])
    measurements = {"calibration": {"ece": 0.25, "by": {"8": 1}, "name": "x"}}
    record = made_record(JOB, 3.0, measurements=measurements, grad_norm_curve=curve)
    assert figure_of(record, "calibration.ece") == 0.25
    assert figure_of(record, "calibration.by.8") == 1
    assert figure_of(record, "grad_norm_spread") == pytest.approx(math.sqrt(0.5))
    for name in ("calibration", "calibration.none", "calibration.name", "calibration.ece.deep"):
        assert figure_of(record, name) is None


def test_means_are_over_all_runs_or_none() -> None:
    records = [made_record(JOB, 3.0, measurements={"a": a}) for a in (1.0, 3.0)]
    found = means(records, ["a", "b"])
    assert found["a"] == {"mean": 2.0, "sd": pytest.approx(math.sqrt(2))}
    assert found["b"] is None
    alone = means(records[:1], ["a"])["a"]
    assert alone is not None
    assert alone["sd"] is None
    assert means([*records, made_record(JOB, 3.0)], ["a"]) == {"a": None}
    assert means([], ["a"]) == {"a": None}
