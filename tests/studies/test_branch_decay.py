from __future__ import annotations

import dataclasses
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.optim.schedule import constant, cosine, stable_decay, wsd
from windtunnel.studies.branch_decay import BranchDecay
from windtunnel.studies.method import Method

STEP, WARMUP = 1_000, 10_000
LENGTHS = [100_000, 200_000, 400_000, 800_000, 1_600_000]
SCHEDULES = {
    "constant": partial(constant, warmup_tokens=WARMUP),
    "wsd": partial(wsd, warmup_tokens=WARMUP, decay_fraction=0.2, final=0.0),
    "short": partial(
        stable_decay, warmup_tokens=WARMUP, shape="one_minus_sqrt", decay_fraction=None,
        decay_tokens=20_500, final=0.0
    ),
    "cosine": partial(cosine, warmup_tokens=WARMUP, final=0.1),
}  # fmt: skip
TRUTH = {"a": 40.0, "b": -0.4, "c": 2.0}


def made_study(**changes: Any) -> BranchDecay:
    values: dict[str, Any] = {
        "lengths": LENGTHS,
        "schedules": SCHEDULES,
        "stable": "constant",
        "decay": "wsd",
        "controls": ["wsd", "cosine"],
        "sequences": 10,
        "length": 100,
        "evaluations": 4,
        "seeds": 2,
        "law": "power_law_constant:D",
        "method": Method("least_squares", None, "profile", 0.9, 100, 0),
        "report": Kept(),
    }
    return BranchDecay(**(values | changes))


def trained(job: Job) -> Record:
    """A power law of tokens, a seed's own noise, and a little more under the cosine."""
    tokens, seed = job.overrides["budget.tokens"], job.overrides["seed"]
    noise = random.Random(f"{tokens} {seed}").gauss(0, 0.0005)
    more = 0.01 * (job.overrides["schedule"] == "cosine")
    loss = TRUTH["a"] * tokens ** TRUTH["b"] + TRUTH["c"] + noise + more
    sized = dataclasses.replace(job, overrides={**job.overrides, "model.width": 64})
    return made_record(sized, loss, eval_curve=Curve([tokens], [loss]))


def run(study: BranchDecay, folder: Path) -> tuple[dict[str, Any], list[list[Job]]]:
    records: dict[str, Record] = {}
    batches = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        records |= {job.name: trained(job) for job in batch}
    return study.conclude(records, folder), batches


def test_the_stable_run_comes_first_and_keeps_a_checkpoint_per_branch(tmp_path: Path) -> None:
    study = made_study()
    _, (stems, others) = run(study, tmp_path)
    starts = [80_000, 160_000, 320_000, 640_000, 1_280_000]
    assert [job.name for job in stems] == ["stable-s1", "stable-s2"]
    for job in stems:
        assert job.overrides["schedule"] == "constant"
        assert job.overrides["budget.tokens"] == 1_280_000
        assert job.overrides["callbacks.keep.tokens"] == starts
    branches = [job for job in others if job.role == "branch"]
    assert len(branches) == 5 * 2
    for job in branches:
        at = LENGTHS.index(job.overrides["budget.tokens"])
        assert job.overrides["schedule"] == "wsd"
        assert job.overrides["branch"] == "checkpoint"
        assert job.overrides["branch.tokens"] == starts[at]
        assert job.overrides["branch.folder"] == str(tmp_path / f"stable-s{job.overrides['seed']}")
    assert {job.overrides["schedule"] for job in others if job.role != "branch"} == {
        "wsd",
        "cosine",
    }
    planned = {job.name: job.overrides for job in study.plan()}
    assert set(planned) == {job.name for job in [*stems, *others]}
    for job in [*stems, *others]:
        assert planned[job.name].items() <= job.overrides.items()
    assert not any("branch" in key for values in planned.values() for key in values)


def test_a_branch_begins_with_the_last_whole_step_before_the_decay() -> None:
    """20,500 tokens from the end: the step whose middle lies at the start of the decay has the
    full rate still."""
    study = made_study(decay="short", controls=["short"])
    assert study.starts[100_000] == 80_000
    assert study.starts[200_000] == 180_000
    rates = [SCHEDULES["short"]((n + 0.5) * STEP, 200_000) for n in (178, 179, 180)]
    assert rates[:2] == [1.0, 1.0]
    assert rates[2] < 1
    assert study.stable_tokens == 1_580_000  # whole evaluations of the stable run


def test_the_law_is_found_in_the_branches_and_the_runs_are_equal(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    branches, whole, cosine = (result["arms"][n] for n in ("branch", "whole-wsd", "whole-cosine"))
    assert branches["parameters"] == pytest.approx(TRUTH, rel=0.15)
    for name, (low, high) in branches["intervals"].items():
        assert low < TRUTH[name] < high
    assert whole["parameters"] == branches["parameters"]
    assert whole["less_branch"] == {"mean": 0.0, "largest": 0.0, "pairs": 10, "equal": 10}
    assert cosine["less_branch"]["mean"] == pytest.approx(0.01)
    assert cosine["less_branch"]["equal"] == 0
    pair = [trained(job).evaluation.loss_nats for job in made_study().branches(tmp_path)[:2]]  # type: ignore[union-attr]
    own = branches["lengths"]["100000"]
    assert own["loss"] == pytest.approx(sum(pair) / 2)
    assert own["sd"] == pytest.approx(abs(pair[0] - pair[1]) / 2**0.5)
    assert branches["seed_sd"] < 0.005
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_cost_is_the_stable_run_and_the_tails(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    tails = sum(LENGTHS) // 5
    assert result["cost"] == {
        "stable": 1_280_000,
        "tails": tails,
        "whole": sum(LENGTHS),
        "ratio": pytest.approx((1_280_000 + tails) / sum(LENGTHS)),
    }


def test_a_stable_run_that_diverged_leaves_the_others_their_branches(tmp_path: Path) -> None:
    study = made_study()
    sized = {"model.width": 64, "seed": 1}
    records = {job.name: trained(job) for job in study.stems()}
    records["stable-s1"] = made_record(Job("stable-s1", "stable", sized), None)
    batch = study.propose(records, tmp_path)
    assert {job.overrides["seed"] for job in batch if job.role == "branch"} == {2}
    assert len(batch) == 5 + 2 * 5 * 2
    records |= {job.name: trained(job) for job in batch}
    assert study.propose(records, tmp_path) == []
    result = study.conclude(records, tmp_path)
    assert result["arms"]["whole-wsd"]["less_branch"]["pairs"] == 5
    assert "stable-s1 was left out: diverged at step 7" in result["warnings"]


def test_too_few_lengths_leave_no_law(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: trained(job) for job in study.plan() if "1600000" not in job.name}
    records = {n: r for n, r in records.items() if "800000" not in n}
    result = study.conclude(records, tmp_path)
    assert result["arms"]["branch"]["parameters"] is None
    nothing = study.conclude({}, tmp_path)
    assert nothing["arms"]["whole-wsd"]["less_branch"] is None
    assert json.loads(json.dumps(nothing, allow_nan=False)) == nothing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lengths": LENGTHS[:3]}, r"study\.lengths must hold at least 4"),
        ({"lengths": [*LENGTHS[1:], 101_000]}, r"study\.lengths.*multiples of 4000.*got 101000"),
        ({"law": "power_law_constant"}, r"study\.law must be a law of training tokens.*of N"),
        ({"decay": "spiral"}, r"study\.schedules, which has constant.*got spiral"),
        ({"controls": ["spiral"]}, r"got spiral"),
        ({"decay": "constant"}, r"study\.decay must have .* share 100 of 100 steps over 100000"),
        (
            {"stable": "cosine", "decay": "cosine"},
            r"study\.decay must have the rates of study\.stable",
        ),
        ({"seeds": 0}, r"study\.seeds"),
    ],
)
def test_what_cannot_be_branched_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
