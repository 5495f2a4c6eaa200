from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.studies.survival import Survival

# What a made-up run loses: without the fault, and by it; None where it diverges.
PREMIUM = {"clipping": 0.0, "guard": 0.02, "luck": 0.0}
HARM = {"clipping": None, "guard": 0.01, "luck": 0.3}
SPEED = {"clipping": 1000.0, "guard": 800.0, "luck": 1000.0}


def made_study(**changes: Any) -> Survival:
    values: dict[str, Any] = {
        "variants": {"clipping": {}, "guard": {"stability": "radius"}, "luck": {"optim.lr": 0.1}},
        "reference": "clipping",
        "fault": {"schedule.factor": 1000.0},
        "width": 32,
        "seeds": 3,
        "margin": 0.1,
        "figures": ["radius.n_limited"],
        "n_convention": "total",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return Survival(**(values | changes))


def trained(job: Job) -> Record:
    """Seed 1 of `luck` is lucky: the fault does it no harm."""
    variant, arm, _ = job.name.split("-")
    seed = job.overrides["seed"]
    harm = HARM[variant] if arm == "fault" else 0.0
    if variant == "luck" and seed == 1:
        harm = 0.0
    loss = None if harm is None else 3.0 + 0.1 * seed + PREMIUM[variant] + harm
    acted = {"radius": {"n_limited": 10 + seed}} if variant == "guard" else {}
    curve = Curve([100, 200], [4.0 + seed, 3.0 + seed][: 1 if loss is None else 2])
    if loss is None:
        curve = Curve([100], [4.0 + seed])
    record = made_record(job, loss, tokens_per_second=SPEED[variant] * (1 + 0.1 * seed))
    return dataclasses.replace(record, measurements=acted, eval_curve=curve)


def conclude(study: Survival, folder: Path, **leave_out: Any) -> Any:
    lost = leave_out.get("lost", ())
    records = {job.name: trained(job) for job in study.plan() if job.name not in lost}
    return study.conclude(records, folder)


def test_every_variant_runs_with_and_without_the_fault_on_the_same_seeds(tmp_path: Path) -> None:
    study = made_study()
    jobs = study.propose({}, tmp_path)
    assert len(jobs) == len({job.name for job in jobs}) == 3 * 2 * 3
    for job in jobs:
        faulted = job.overrides.get("schedule.factor") == 1000.0
        assert faulted == (job.role == "fault") == ("-fault-" in job.name)
        assert job.overrides["model.width"] == 32
        assert (job.overrides.get("stability") == "radius") == job.name.startswith("guard")
    assert [job.overrides["seed"] for job in jobs] == [1] * 6 + [2] * 6 + [3] * 6
    records = {job.name: trained(job) for job in jobs}
    assert study.propose(records, tmp_path) == []
    left = {name: record for name, record in records.items() if name != "guard-fault-s2"}
    assert [job.name for job in study.propose(left, tmp_path)] == ["guard-fault-s2"]


def test_planted_harm_premium_and_speed_are_found(tmp_path: Path) -> None:
    result = conclude(made_study(), tmp_path)
    found = result["variants"]
    assert {name: own["survived"] for name, own in found.items()} == {
        "clipping": 0, "guard": 3, "luck": 1}  # fmt: skip
    assert found["guard"]["excess"] == pytest.approx({"mean": 0.03, "sd": 0, "n": 3}, abs=1e-9)
    assert found["guard"]["premium"]["mean"] == pytest.approx(0.02)
    assert found["guard"]["slowdown"] == pytest.approx({"mean": 0.25, "sd": 0, "n": 3})
    assert found["luck"]["excess"]["mean"] == pytest.approx(0.2)
    assert found["clipping"]["excess"] == {"mean": None, "sd": None, "n": 0}
    assert found["clipping"]["outcomes"] == ["diverged"] * 3
    assert found["clipping"]["premium"]["mean"] == 0
    assert found["guard"]["figures"]["radius.n_limited"] == {"mean": 12, "sd": 1}
    assert found["luck"]["figures"]["radius.n_limited"] is None
    assert found["guard"]["curves"]["fault"] == {"tokens": [100, 200], "loss": [6.0, 5.0]}
    assert found["clipping"]["curves"]["fault"] == {"tokens": [100], "loss": [6.0]}
    assert result["verdict"] == "survive: guard; collapse: clipping; survive with some seeds: luck"
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(("margin", "survived"), [(0.029, 0), (0.031, 3)])
def test_the_margin_decides(margin: float, survived: int, tmp_path: Path) -> None:
    result = conclude(made_study(margin=margin), tmp_path)
    assert result["variants"]["guard"]["survived"] == survived


def test_a_member_that_left_nothing_is_said_and_has_not_survived(tmp_path: Path) -> None:
    result = conclude(made_study(), tmp_path, lost=("guard-fault-s2", "clipping-calm-s3"))
    assert result["variants"]["guard"]["survived"] == 1  # seed 3 has nothing to be set beside
    assert result["variants"]["guard"]["slowdown"]["n"] == 2
    assert result["variants"]["guard"]["outcomes"] == ["finished", "missing", "finished"]
    assert result["warnings"] == [
        "guard-fault-s2 left no record", "clipping-calm-s3 left no record"]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": "none"}, r"study\.reference must be one of .* clipping, guard, luck; got"),
        ({"fault": {}}, r"study\.fault must hold the overrides .* got none: give such"),
        ({"margin": 0.0}, r"study\.margin must be above 0 nats, got 0\.0"),
        ({"seeds": 0}, r"study\.seeds is how many seeds"),
        ({"n_convention": "x"}, r"study\.n_convention must be one of"),
        ({"variants": {"clipping": {}, "a b": {}}}, r"letters, digits and _.*got 'a b'"),
        ({"variants": {"clipping": {"seed": 1}}}, r"clipping: seed is set by the study"),
        ({"fault": {"model.width": 1}}, r"study\.variants\.fault: model\.width is set by"),
    ],
)
def test_a_bad_setting_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_study(**changes)
