"""The stages of a study, without Hydra and without processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.windtunnel_study_sweeper import _stages
from tests.made import made_record
from windtunnel.interfaces import Job, Record, Study


def job(name: str, width: int, cost: float = 1.0, **changes: Any) -> Job:
    return Job(name, "rung", {"model.width": width, "seed": 1, **changes}, cost)


class Staged(Study):
    """Two small ones, then a large one."""

    small = (job("a", 1, 1.0), job("b", 2, 2.0))
    large = job("c", 4, 4.0)

    def plan(self) -> Sequence[Job]:
        return [*self.small, self.large]

    def propose(self, records: Any, folder: Path) -> Sequence[Job]:
        return [j for j in self.small if j.name not in records] or [self.large]

    def conclude(self, records: Any, folder: Path) -> dict[str, Any]:
        return {"done": list(records)}


class Launcher:
    """Leaves a record for each job that is not to fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.batches: list[list[str]] = []

    def __call__(self, batch: Sequence[Sequence[str]], index: int, folder: Path) -> list[str]:
        names = [overrides[-1].split("=")[1] for overrides in batch]
        assert index == sum(map(len, self.batches))
        self.batches.append(names)
        for name in names:
            if name != self.failing:
                (folder / name).mkdir(exist_ok=True)
                made_record(job(name, 1), 2.0).save(folder / name)
        return []


def test_jobs_of_equal_cost_do_not_start_side_by_side() -> None:
    rungs = [job(f"w{w}-s{s}", w, cost=float(w)) for w in (1, 2, 4) for s in (1, 2)]
    names = [each.name for each in _stages.in_turns(rungs)]
    assert names == ["w4-s1", "w2-s1", "w1-s1", "w4-s2", "w2-s2", "w1-s2"]


def test_batches_follow_each_other_and_the_costliest_job_starts_first(tmp_path: Path) -> None:
    launcher = Launcher()
    assert _stages.work(Staged(), [], tmp_path, launcher) == []
    assert launcher.batches == [["b", "a"], ["c"]]
    plan = json.loads((tmp_path / "jobs.json").read_text())["jobs"]
    assert [(j["name"], j["cost"]) for j in plan] == [("a", 1.0), ("b", 2.0), ("c", 4.0)]


def test_finished_jobs_are_not_launched_again(tmp_path: Path) -> None:
    _stages.work(Staged(), [], tmp_path, Launcher())
    again = Launcher()
    assert _stages.work(Staged(), [], tmp_path, again) == []
    assert again.batches == []


def test_a_failed_job_is_tried_once_and_named(tmp_path: Path) -> None:
    launcher = Launcher(failing="a")
    assert _stages.work(Staged(), [], tmp_path, launcher) == ["a"]
    assert launcher.batches == [["b", "a"]]


def test_the_conclusion_says_what_is_missing(tmp_path: Path) -> None:
    _stages.work(Staged(), [], tmp_path, Launcher(failing="a"))
    _stages.conclude(Staged(), tmp_path, ["a"], {"name": "n"})
    written = json.loads((tmp_path / "study.json").read_text())
    assert written == {"name": "n", "missing": ["a"], "done": ["b"]}


def test_a_jobs_overrides_hold_its_role_and_folder() -> None:
    assert _stages.job_overrides(["+recipe=r"], job("w1", 1), Path("/x y")) == [
        "+recipe=r",
        "model.width=1",
        "seed=1",
        "role=rung",
        "hydra.sweep.dir='/x y'",
        "hydra.sweep.subdir=w1",
    ]


def record(**config: Any) -> dict[str, Record]:
    return {"a": made_record(job("a", 1), 2.0, config=config)}


def test_a_job_that_ran_with_other_values_is_refused() -> None:
    planned = {"a": job("a", 1), "b": job("b", 2)}
    _stages.refuse_stale(planned, record(model={"width": 1}, seed=1))
    with pytest.raises(ValueError, match=r"^a: expected a job with model.width=1, .*ran with 3"):
        _stages.refuse_stale(planned, record(model={"width": 3}, seed=1))


def test_a_swapped_part_and_an_unknown_key_are_no_reason_to_refuse() -> None:
    planned = {"a": job("a", 1, parametrization="standard", list=(1, 2))}
    values = {"model": {"width": 1}, "seed": 1, "parametrization": {"x": 1}, "list": [1, 2]}
    _stages.refuse_stale(planned, record(**values))


class Composer:
    """Stands for Hydra: a part is chosen by its name."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        self.asked.append(list(overrides))
        model = {"width": 64, "head_size": 16}
        return OmegaConf.create({"model": model, "seed": 1, "optim": {"lr": 0.1}})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "train.yaml").write_text("{model: null, seed: 1, optim: null}")
    return tmp_path


def test_every_planned_job_is_checked_and_composed_once_per_choice_of_parts(conf: Path) -> None:
    compose = Composer()
    _stages.check_jobs([job("32", 32), job("64", 64)], ["+recipe=r"], compose, conf)
    assert compose.asked == [["+recipe=r"]]
    jobs = [job(str(w), w, optim=o) for w in (32, 64) for o in ("adamw", "muon")]
    _stages.check_jobs(jobs, ["+recipe=r"], compose, conf)
    assert compose.asked[2:] == [["+recipe=r", "optim=adamw"], ["+recipe=r", "optim=muon"]]


def test_what_a_part_needs_is_composed_with_it_once_per_set_of_keys(conf: Path) -> None:
    compose = Composer()
    jobs = [job(str(lr), 64, **{"optim": "muon", "optim.lr": lr}) for lr in (0.5, 0.25)]
    found = _stages.check_jobs([*jobs, job("plain", 64, optim="muon")], [], compose, conf)
    assert compose.asked == [[], ["optim=muon", "optim.lr=0.5"], ["optim=muon"]]
    assert [found[name]["optim"]["lr"] for name in ("0.5", "0.25")] == [0.5, 0.25]


def test_a_group_that_the_study_leaves_empty_may_be_filled_by_its_jobs(conf: Path) -> None:
    (conf / "stability").mkdir()
    (conf / "stability" / "radius.yaml").write_text("{}")
    compose = Composer()
    _stages.check_jobs([job("a", 64, stability="radius")], [], compose, conf)
    assert compose.asked == [[], ["stability=radius"]]
    _stages.check_jobs([job("a", 64, stability=None)], [], compose, conf)
    assert compose.asked[2:] == [[], ["~stability"]]
    with pytest.raises(ValueError, match=r"^stability: expected a key of the config"):
        _stages.check_jobs([job("a", 64, stability="other")], [], compose, conf)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (job("x", 60), r"^model.width: expected a multiple of model.head_size=16, got 60"),
        (job("x", 64, **{"model.widht": 3}), r"^model.widht: .*did you mean width"),
    ],
)
def test_a_planned_job_that_cannot_run_is_refused(conf: Path, bad: Job, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _stages.check_jobs([job("a", 64), bad], [], Composer(), conf)
