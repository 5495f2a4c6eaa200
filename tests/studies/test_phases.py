from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from tests.studies.mixed import TOKENS, trained
from windtunnel.interfaces import Job, Record
from windtunnel.studies.phases import Phases, weighted

OLD, NEW = {"code": 0.75, "news": 0.25}, {"wiki": 1.0}


def made_study(**changes: Any) -> Phases:
    values: dict[str, Any] = {
        "old": OLD,
        "new": NEW,
        "replays": [0.0, 0.2, 1.0],
        "old_tokens": 40_000,
        "new_tokens": 20_000,
        "decay_tokens": 10_000,
        "sequences": 10,
        "length": 100,
        "seeds": 3,
        "level": 0.9,
        "report": Kept(),
    }
    return Phases(**(values | changes))


def outcome(job: Job, sd: float = 0.002) -> Record:
    """Old losses rise by 0.5 (1 - replay)^2 and the new one falls by 1 - replay."""
    replay = float(job.name.split("-")[1]) if job.role == "replay" else None

    def losses(weights: Mapping[str, float], width: int) -> dict[str, float]:
        rise = 0.0 if replay is None else 0.5 * (1 - replay) ** 2
        fall = 0.0 if replay is None else 1 - replay
        return {"code": 2 + rise, "news": 3 + rise, "talk": 4.0, "wiki": 5 - fall}

    sized = {"model.width": 16, "sampler": "mixture", "sampler.mixture.weights": {}}
    return trained(
        dataclasses.replace(job, overrides={**sized, **job.overrides} | sized), losses, sd
    )


def run(study: Phases, folder: Path, sd: float = 0.002) -> tuple[dict[str, Any], dict[str, Record]]:
    records: dict[str, Record] = {}
    while batch := list(study.propose(records, folder)):
        records |= {job.name: outcome(job, sd) for job in batch}
    return study.conclude(records, folder), records


def test_what_is_forgotten_and_gained_is_found_by_seed(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    forgotten = {r: own["forgotten"]["mean"] for r, own in result["arms"].items()}
    assert forgotten == pytest.approx({"0": 0.5, "0.2": 0.32, "1": 0.0}, abs=0.01)
    gained = {r: own["gained"]["mean"] for r, own in result["arms"].items()}
    assert gained == pytest.approx({"0": 1.0, "0.2": 0.8, "1": 0.0}, abs=0.01)
    assert result["before"]["old"]["mean"] == pytest.approx(0.75 * 2 + 0.25 * 3, abs=0.01)
    assert [step["sign"] for step in result["steps"]] == [-1, -1]
    assert all(step["new"]["low"] > 0 for step in result["steps"])
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))


def test_every_branch_goes_on_from_the_base_of_its_seed(tmp_path: Path) -> None:
    study = made_study(seeds=2)
    bases = study.propose({}, tmp_path)
    assert [job.name for job in bases] == ["base-s1", "base-s2"]
    for job in bases:
        assert job.overrides["schedule"] == "constant"
        assert job.overrides["callbacks.keep.tokens"] == [30_000, 40_000]
        assert job.overrides["budget.tokens"] == 40_000
        assert job.overrides["sampler.mixture.weights"] == OLD
    branches = study.propose({job.name: outcome(job) for job in bases}, tmp_path)
    assert len(branches) == 2 * 4
    for job in branches:
        own = job.overrides
        assert own["branch"] == "checkpoint"
        assert own["branch.folder"] == str(tmp_path / f"base-s{own['seed']}")
        assert own["schedule"] == "wsd"
        decay = own["schedule.decay_fraction"] * own["budget.tokens"]
        assert decay == pytest.approx(10_000)
        if job.role == "before":
            assert (own["branch.tokens"], own["budget.tokens"]) == (30_000, 40_000)
            assert own["sampler.mixture.weights"] == OLD
        else:
            assert (own["branch.tokens"], own["budget.tokens"]) == (40_000, 60_000)
            assert own["sampler"] == "phases"
    by_name = {job.name: job.overrides for job in branches}
    phases = by_name["replay-0.2-s1"]["sampler.mixture.phases"]
    assert phases[0] == {"until": pytest.approx(2 / 3), "weights": OLD}
    assert phases[1]["until"] == 1.0
    assert phases[1]["weights"] == pytest.approx({"wiki": 0.8, "code": 0.15, "news": 0.05})
    assert by_name["replay-0-s1"]["sampler.mixture.phases"][1]["weights"] == NEW
    assert by_name["replay-1-s1"]["sampler.mixture.phases"][1]["weights"] == OLD


def test_what_is_planned_is_proposed_without_a_source(tmp_path: Path) -> None:
    study = made_study()
    _, records = run(study, tmp_path)
    planned = {job.name: job.overrides for job in study.plan()}
    assert set(planned) == set(records)
    assert not any("branch" in own for own in planned.values())
    bases = {job.name: records[job.name] for job in study.bases()}
    for job in study.propose(bases, tmp_path):
        own = {key: value for key, value in job.overrides.items() if not key.startswith("branch")}
        assert own == planned[job.name]


def test_a_lost_base_takes_its_branches_with_it(tmp_path: Path) -> None:
    study = made_study()
    first, *others = study.bases()
    sized = dataclasses.replace(first, overrides={"model.width": 16, "seed": 1})
    records = {first.name: made_record(sized, None), **{job.name: outcome(job) for job in others}}
    branches = study.propose(records, tmp_path)
    assert {job.overrides["seed"] for job in branches} == {2, 3}
    records |= {job.name: outcome(job) for job in branches}
    assert study.propose(records, tmp_path) == []
    result = study.conclude(records, tmp_path)
    assert "base-s1 was left out: diverged at step 7" in result["warnings"]
    assert result["arms"]["0"]["forgotten"]["mean"] == pytest.approx(0.5, abs=0.01)


def test_nothing_trained_is_reported(tmp_path: Path) -> None:
    result = made_study().conclude({}, tmp_path)
    assert result["arms"]["0"]["forgotten"] is None
    assert [step["sign"] for step in result["steps"]] == [0, 0]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_domain_without_held_out_text_is_refused() -> None:
    assert weighted({}, OLD) is None
    with pytest.raises(ValueError, match=r"study\.old, study\.new: .* got news; there are code"):
        weighted({"code": 2.0}, OLD)
    assert set(OLD) | set(NEW) <= set(TOKENS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"old": {}}, r"study\.old: expected weights above 0 .* got \{\}"),
        ({"new": {"wiki": 0.5}}, r"study\.new: expected weights above 0 of domains, with sum 1"),
        ({"new": {"wiki": 1.0, "talk": 0.0}}, r"study\.new: expected weights above 0"),
        ({"new": {"code": 1.0}}, r"study\.new: expected other domains .* got code in both"),
        ({"replays": [0.2]}, r"study\.replays must hold two or more different shares"),
        ({"replays": [0.2, 0.2]}, r"study\.replays must hold"),
        ({"replays": [0.2, 1.2]}, r"study\.replays must hold"),
        ({"old_tokens": 40_100}, r"study\.old_tokens must be whole steps of 1000.*take 40000"),
        ({"new_tokens": 0}, r"study\.new_tokens must be whole steps of 1000.*take 1000"),
        ({"decay_tokens": 40_000}, r"study\.decay_tokens must be less than study\.old_tokens"),
        ({"decay_tokens": 21_000}, r"study\.decay_tokens must be .* got 21000"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"level": 0.0}, r"study\.level"),
    ],
)
def test_what_could_not_be_compared_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
