from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Job, Record
from windtunnel.studies.coordinates import Coordinates

Exponent = Callable[[str, int, str], float]


def made_study(**changes: Any) -> Coordinates:
    values: dict[str, Any] = {
        "widths": [32, 64, 128, 256],
        "seeds": 2,
        "control": "standard",
        "from_step": 4,
        "low": -0.45,
        "high": 0.15,
        "control_above": 0.5,
        "n_convention": "total",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return Coordinates(**(values | changes))


def measured(job: Job, exponent: Exponent, zero: str = "") -> Record:
    """A record whose sizes are powers of the width; layer `zero` is zero at step 0."""
    width = job.overrides["model.width"]
    seed_factor = 1 + 0.1 * job.overrides["seed"]
    sizes = {
        str(step): {
            layer: 0.0 if layer == zero and step == 0 else (
                seed_factor * width ** exponent(job.role, step, layer))
            for layer in ("embedding", "block 0", "logits")
        }
        for step in (0, 4, 10)
    }  # fmt: skip
    return made_record(job, 5.0, measurements={"coordinates": sizes})


def conclude(study: Coordinates, exponent: Exponent, folder: Path, zero: str = "") -> Any:
    records = {job.name: measured(job, exponent, zero) for job in study.plan()}
    return study.conclude(records, folder)


def usual(role: str, step: int, layer: str) -> float:
    return 0.9 if role == "control" and step and layer == "block 0" else -0.1


def test_jobs_run_without_compile_and_with_the_control(tmp_path: Path) -> None:
    plan = made_study().propose({}, tmp_path)
    assert len(plan) == 2 * 4 * 2
    assert all(job.overrides["trainer.compile"] is False for job in plan)
    assert sum(job.overrides.get("parametrization") == "standard" for job in plan) == 8


def test_the_exponent_is_the_slope(tmp_path: Path) -> None:
    result = conclude(made_study(), usual, tmp_path, zero="logits")
    slopes = result["arms"]["main"]["slopes"]
    assert list(slopes) == ["0", "4", "10"]
    assert slopes["4"]["block 0"] == pytest.approx(-0.1)
    assert result["arms"]["control"]["slopes"]["10"]["block 0"] == pytest.approx(0.9)
    assert "logits" not in slopes["0"]
    assert result["verdict"]["words"] == (
        "activations keep their size, and under the control they do not"
    )
    assert set(result["verdict"]["checks"].values()) == {True}
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("slope", [0.2, -0.5])
def test_a_slope_outside_fails(slope: float, tmp_path: Path) -> None:
    result = conclude(
        made_study(),
        lambda role, step, layer: slope if role == "main" and step == 10 else 0.9,
        tmp_path,
    )
    assert "fails" in result["verdict"]["words"]


def test_early_steps_are_not_judged(tmp_path: Path) -> None:
    result = conclude(
        made_study(),
        lambda role, step, layer: usual(role, step, layer) if step else 0.6,
        tmp_path,
    )
    assert "keep their size, and" in result["verdict"]["words"]


def test_a_control_that_keeps_its_size_is_inconclusive(tmp_path: Path) -> None:
    result = conclude(made_study(), lambda role, step, layer: 0.0, tmp_path)
    assert result["verdict"]["words"].startswith("inconclusive")
    assert not result["verdict"]["checks"]["control above 0.5 somewhere"]


def test_no_control_is_said(tmp_path: Path) -> None:
    result = conclude(made_study(control=None), usual, tmp_path)
    assert "no control" in result["verdict"]["words"]


def test_jobs_without_sizes_are_named(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: made_record(job, 5.0) for job in study.plan()}
    result = study.conclude(records, tmp_path)
    assert result["verdict"]["words"].startswith("undecided")
    assert len(result["warnings"]) == 16


def test_sizes_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: measured(job, usual) for job in study.plan()}
    broken = records["main-w256-s1"].measurements["coordinates"]
    broken["10"]["logits"] = float("nan")
    broken["10"]["embedding"] = None
    slopes = study.conclude(records, tmp_path)["arms"]["main"]["slopes"]
    assert slopes["10"]["block 0"] == pytest.approx(-0.1)
    assert slopes["10"]["embedding"] == pytest.approx(-0.1, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [32, 64]}, r"study\.widths must hold at least 3"),
        ({"low": 0.2}, r"study\.low must lie below study\.high; got 0\.2 and 0\.15"),
    ],
)
def test_a_check_that_could_show_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_study(**changes)
