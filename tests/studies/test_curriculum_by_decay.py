from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Job, Record
from windtunnel.studies.curriculum_by_decay import SCORE, SCORING, CurriculumByDecay

ORDERS: dict[str, dict[str, Any]] = {
    "uniform": {"sampler": "uniform"},
    "ascending": {"sampler": "curriculum", SCORE: "quality"},
}
SCHEDULES = {"constant": {"schedule": "constant"}, "linear": {"schedule": "linear"}}
UNIT = 32 * 64 * 4
TOKENS = 80 * UNIT
# What sorting gains, by schedule and average.
GAIN = {("constant", "last"): 0.1, ("constant", "averaged"): 0.2,
        ("linear", "last"): 0.02, ("linear", "averaged"): 0.03}  # fmt: skip
BEST = {"last": 0.01, "averaged": 0.02}


def made_study(**changes: Any) -> CurriculumByDecay:
    values: dict[str, Any] = {
        "orders": ORDERS,
        "control": "uniform",
        "schedules": SCHEDULES,
        "constant": "constant",
        "scoring": {"scorer": "planted"},
        "column": "quality",
        "passes": 1.0,
        "sequences": 32,
        "length": 64,
        "evaluations": 4,
        "warmup_fraction": 0.1,
        "checkpoint_fraction": 0.03,
        "seeds": 3,
        "lr": 0.01,
        "lr_factors": [0.5, 1.0, 2.0],
        "level": 0.95,
        "report": Kept(),
    }
    return CurriculumByDecay(**{**values, **changes})


def truth(job: Job, average: str) -> float:
    """Best at another rate for the average than for the last weights."""
    order, schedule = job.name.split("-")[:2]
    away = math.log2(job.overrides["optim.lr"] / BEST[average])
    gain = GAIN[schedule, average] if order == "ascending" else 0.0
    own = random.Random(f"{job.name} {average}").gauss(0, 0.001)
    decayed = 0.05 if schedule == "linear" else 0.0
    return 3.0 - decayed - gain + 0.1 * away**2 + 0.2 * job.overrides["seed"] + own


def made(job: Job, loss: float | None = 3.0, averaged: float | None = None) -> Record:
    wide = replace(job, overrides={"model.width": 64, "seed": 1, **job.overrides})
    measured = {} if averaged is None else {"averaged": {"evaluation": {"loss_nats": averaged}}}
    return made_record(wide, loss, measurements=measured, data={"train_tokens": TOKENS + 99})


def run(study: CurriculumByDecay, folder: Path) -> tuple[dict[str, Any], dict, list[list[Job]]]:
    records: dict[str, Record] = {}
    batches = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        for job in batch:
            records[job.name] = (
                made(job)
                if job.role == "scores"
                else made(job, truth(job, "last"), truth(job, "averaged"))
            )
    return study.conclude(records, folder), records, batches


def test_scores_then_trials_then_runs(tmp_path: Path) -> None:
    study = made_study()
    _, _, (scoring, trials, finals) = run(study, tmp_path)
    assert scoring == list(study.plan())
    assert scoring[0].overrides == {
        "task": "score",
        "scorer": "planted",
        "scorer.column": "quality",
    }
    assert len(trials) == 2 * 2 * 3
    assert {job.overrides["seed"] for job in trials} == {4}
    assert len(finals) == 2 * 2 * 2 * 3  # the average has a best rate of its own
    assert {job.overrides["seed"] for job in finals} == {1, 2, 3}
    assert {job.overrides["optim.lr"] for job in finals} == {0.01, 0.02}
    for job in [*trials, *finals]:
        order, schedule = job.name.split("-")[:2]
        own = job.overrides
        assert own["sampler"] == ORDERS[order]["sampler"]
        assert own["schedule"] == schedule
        assert own["budget.tokens"] == TOKENS  # one pass, in whole evaluations
        assert own["schedule.warmup_tokens"] == int(0.1 * TOKENS)
        assert own["callbacks.averaging.every_tokens"] == int(0.03 * TOKENS)
        file = str(tmp_path / "scoring" / "scores" / "quality.parquet")
        assert own.get(SCORE) == (file if order == "ascending" else None)


def test_parts_come_before_their_values(tmp_path: Path) -> None:
    """Hydra would put a part's own values over those given before it."""
    keys = list(made_study().trials(("ascending", "linear"), TOKENS, tmp_path)[0].overrides)
    assert keys.index("sampler") < keys.index(SCORE)
    assert keys.index("schedule") < keys.index("schedule.warmup_tokens")


def test_decay_takes_what_was_planted(tmp_path: Path) -> None:
    result, _, _ = run(made_study(), tmp_path)
    gains = {(g["schedule"], g["average"]): g["difference"] for g in result["gains"]}
    for key, gain in GAIN.items():
        assert gains[key]["mean"] == pytest.approx(gain, abs=0.005)
    taken = {(i["schedule"], i["average"]): i["difference"] for i in result["interactions"]}
    assert set(taken) == {("linear", "last"), ("linear", "averaged")}
    for average in ("last", "averaged"):
        expected = GAIN["constant", average] - GAIN["linear", average]
        assert taken["linear", average]["mean"] == pytest.approx(expected, abs=0.006)
        assert 0 < taken["linear", average]["low"] < taken["linear", average]["high"]
        assert len(taken["linear", average]["values"]) == 3
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_each_weights_have_their_best_rate(tmp_path: Path) -> None:
    result, _, _ = run(made_study(), tmp_path)
    assert {(c["average"], c["lr"]) for c in result["cells"]} == set(BEST.items())
    cell = next(c for c in result["cells"] if (c["order"], c["schedule"], c["average"])
                == ("ascending", "constant", "averaged"))  # fmt: skip
    assert cell["mean"] == pytest.approx(3.0 - 0.2 + 0.4, abs=0.002)
    assert cell["seeds"] == 3
    assert len(result["cells"]) == 8
    assert sum("averaged: the best learning rate lies on" in w for w in result["warnings"]) == 4


def test_what_did_not_train_is_said(tmp_path: Path) -> None:
    study = made_study()
    assert study.conclude({}, tmp_path)["warnings"] == [
        "the documents were not scored, so nothing was trained"
    ]
    _, records, _ = run(study, tmp_path)
    for name, record in records.items():
        if name.startswith("ascending-constant-lr"):
            records[name] = replace(record, outcome="diverged", evaluation=None)
    result = study.conclude(records, tmp_path)
    assert "ascending, constant, last: no learning rate gave a loss" in result["warnings"]
    assert [i["difference"] for i in result["interactions"]] == [None, None]
    measured = {"score": {"notes": ["scored otherwise"]}}
    records[SCORING] = replace(records[SCORING], measurements=measured)
    assert study.conclude(records, tmp_path)["warnings"][0] == "scored otherwise"


def test_without_an_average_there_is_none(tmp_path: Path) -> None:
    study = made_study()
    records: dict[str, Record] = {}
    while batch := study.propose(records, tmp_path):
        records |= {
            job.name: made(job) if job.role == "scores" else made(job, truth(job, "last"))
            for job in batch
        }
    cells = study.conclude(records, tmp_path)["cells"]
    assert {c["mean"] is None for c in cells if c["average"] == "averaged"} == {True}
    assert {c["mean"] is None for c in cells if c["average"] == "last"} == {False}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"orders": {"uniform": {}}}, r"study\.orders must hold at least 2 variants"),
        ({"schedules": {"a": {}, "b": {"seed": 1}}}, r"study\.schedules\.b: seed is set by"),
        ({"control": "gone"}, r"study\.control must be one of study\.orders, uniform, asc"),
        ({"constant": "gone"}, r"study\.constant must be one of study\.schedules"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"level": 95}, r"study\.level"),
        ({"lr_factors": []}, r"study\.lr_factors"),
        ({"warmup_fraction": 1.0}, r"study\.warmup_fraction must lie between 0 and 1"),
        ({"checkpoint_fraction": 0.0}, r"study\.checkpoint_fraction must lie between 0 and 1"),
        ({"passes": 0.0}, r"study\.passes must be above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_study(**changes)
