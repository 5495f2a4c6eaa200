from __future__ import annotations

import math

import pytest

from tests.made import made_record
from windtunnel.interfaces import Curve, Job
from windtunnel.studies.figures import figure_of, means, spread, tokens_to

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
    assert figure_of(record, "calibration.ece", None) == 0.25
    assert figure_of(record, "calibration.by.8", None) == 1
    assert figure_of(record, "grad_norm_spread", None) == pytest.approx(math.sqrt(0.5))
    for name in ("calibration", "calibration.none", "calibration.name", "calibration.ece.deep"):
        assert figure_of(record, name, None) is None


def test_means_are_over_all_runs_or_none() -> None:
    records = [made_record(JOB, 3.0, measurements={"a": a}) for a in (1.0, 3.0)]
    found = means(records, ["a", "b"], [])
    assert found["a"] == {"mean": 2.0, "sd": pytest.approx(math.sqrt(2))}
    assert found["b"] is None
    alone = means(records[:1], ["a"], [])["a"]
    assert alone is not None
    assert alone["sd"] is None
    assert means([*records, made_record(JOB, 3.0)], ["a"], []) == {"a": None}
    assert means([], ["a"], []) == {"a": None}


def test_a_figure_of_the_record_is_found_by_its_name() -> None:
    record = made_record(JOB, 3.0, tokens_per_second=123.0, peak_memory_bytes=7)
    assert figure_of(record, "tokens_per_second", None) == 123.0
    assert figure_of(record, "peak_memory_bytes", None) == 7.0
    assert figure_of(record, "seconds", None) == 4.0


@pytest.mark.parametrize(
    ("loss", "tokens"),
    [(4.0, 30.0), (4.5, 25.0), (5.0, 20.0), (6.5, 10.0), (3.5, 35.0), (2.9, None)],
)
def test_tokens_to_a_loss_lie_on_straight_lines(loss: float, tokens: float | None) -> None:
    """On the line 7 - t / 10, and on no later crossing."""
    curve = Curve([10, 20, 30, 40, 50, 60], [6.0, 5.0, 4.0, 3.0, 5.0, 3.0])
    assert tokens_to(curve, loss) == (None if tokens is None else pytest.approx(tokens))
    assert tokens_to(Curve(), loss) is None


def test_the_share_of_tokens_is_against_the_run_of_the_same_seed() -> None:
    """A run that falls twice as fast is where the other ends after half of its tokens."""
    jobs = [Job("j", "rung", {"model.width": 16, "seed": seed}) for seed in (1, 2)]
    tokens = [100, 200, 300, 400]
    rivals = [made_record(job, 3.0 + job.overrides["seed"], tokens=400) for job in jobs]
    curves = [Curve(tokens, [8 + s - 2.5 * t / 100 for t in tokens]) for s in (1, 2)]
    fast = [made_record(j, 2.0, eval_curve=c) for j, c in zip(jobs, curves, strict=True)]
    found = means(fast, ["tokens_to_reference"], rivals)["tokens_to_reference"]
    assert found == {"mean": pytest.approx(0.5), "sd": pytest.approx(0.0)}
    lost = made_record(jobs[1], None)
    for references in ([], rivals[:1], [rivals[0], lost]):
        assert means(fast, ["tokens_to_reference"], references) == {"tokens_to_reference": None}
