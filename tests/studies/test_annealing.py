from __future__ import annotations

import dataclasses
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.optim.schedule import constant, cosine, linear, wsd
from windtunnel.scaling.schedule import features
from windtunnel.studies.annealing import Annealing
from windtunnel.studies.method import Method

TOTAL, STEP, WARMUP, LR, DECAY = 400_000, 1_000, 20_000, 0.02, 0.98
TRUTH = {"L_0": 2.2, "A": 1.4, "alpha": 0.6, "C": 3.0}
SCHEDULES = {
    "constant": partial(constant, warmup_tokens=WARMUP),
    "cosine": partial(cosine, warmup_tokens=WARMUP, final=0.1),
    "linear": partial(linear, warmup_tokens=WARMUP, final=0.0),
    "wsd": partial(wsd, warmup_tokens=WARMUP, decay_fraction=0.2, final=0.0),
}


def made_study(**changes: Any) -> Annealing:
    values: dict[str, Any] = {
        "schedules": SCHEDULES,
        "fitted": ["constant", "cosine"],
        "unseen": "wsd",
        "lr": LR,
        "total_tokens": TOTAL,
        "warmup_tokens": WARMUP,
        "evaluations": 20,
        "from_tokens": 100_000,
        "decay": DECAY,
        "seeds": 1,
        "method": Method("least_squares", None, "profile", 0.95, 100, 0),
        "report": Kept(),
    }
    return Annealing(**(values | changes))


def truth(name: str) -> Curve:
    """The curve that the law gives, with the areas summed in the plainest way."""
    middle = [(i + 0.5) * STEP for i in range(TOTAL // STEP)]
    lrs = [LR * SCHEDULES[name](t, TOTAL) for t in middle]
    lrs[: WARMUP // STEP] = [lrs[WARMUP // STEP]] * (WARMUP // STEP)
    momentum = s1 = s2 = 0.0
    curve = Curve()
    for i, lr in enumerate(lrs):
        momentum = DECAY * momentum + (lrs[i - 1] - lr if i else 0.0)
        s1, s2 = s1 + lr, s2 + momentum
        if (i + 1) % 20 == 0:
            curve.tokens.append((i + 1) * STEP)
            loss = TRUTH["L_0"] + TRUTH["A"] * s1 ** -TRUTH["alpha"] - TRUTH["C"] * s2
            curve.values.append(loss)
    return curve


def trained(job: Job, sd: float = 1e-6) -> Record:
    rng = random.Random(job.name)
    curve = truth(job.overrides["schedule"])
    values = [value + rng.gauss(0, sd) for value in curve.values]
    sized = dataclasses.replace(job, overrides={**job.overrides, "model.width": 64})
    changes = {"tokens": TOTAL, "steps": TOTAL // STEP, "eval_curve": Curve(curve.tokens, values)}
    return made_record(sized, values[-1], **changes)


def run(study: Annealing, folder: Path, sd: float = 1e-6) -> dict[str, Any]:
    records: dict[str, Record] = {}
    while batch := study.propose(records, folder):
        records |= {job.name: trained(job, sd) for job in batch}
    return study.conclude(records, folder)


def test_the_areas_of_the_reference_are_those_of_the_scaling_room() -> None:
    lr_T = np.array([LR * SCHEDULES["wsd"]((i + 0.5) * STEP, TOTAL) for i in range(TOTAL // STEP)])
    S1_T, S2_T = features(lr_T, decay=DECAY, n_warmup=WARMUP // STEP)
    for tokens, loss in zip(*dataclasses.astuple(truth("wsd")), strict=True):
        at = tokens // STEP - 1
        law = TRUTH["L_0"] + TRUTH["A"] * S1_T[at] ** -TRUTH["alpha"] - TRUTH["C"] * S2_T[at]
        assert loss == pytest.approx(law, rel=1e-12)


@pytest.mark.parametrize("unseen", ["wsd", "linear"])
def test_the_curve_of_an_unseen_schedule_is_predicted(unseen: str, tmp_path: Path) -> None:
    result = run(made_study(unseen=unseen), tmp_path)
    assert result["parameters"] == pytest.approx(TRUTH, rel=1e-2)
    expected = [v for t, v in zip(*dataclasses.astuple(truth(unseen)), strict=True) if t >= 100_000]
    assert result["curve"]["loss"] == pytest.approx(expected, rel=1e-4)
    assert result["mape"] < 1e-4
    assert result["final"]["actual"] == pytest.approx(expected[-1], abs=1e-4)
    assert result["predicted_before_target"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_schedules_end_where_the_runs_do(tmp_path: Path) -> None:
    """A budget of 409,000 tokens trained 400,000: whole steps between whole evaluations."""
    result = run(made_study(total_tokens=TOTAL + 9_000), tmp_path)
    assert result["mape"] < 1e-4


def test_the_prediction_is_written_before_the_unseen_schedule_is_proposed(tmp_path: Path) -> None:
    study = made_study(seeds=2)
    first = study.propose({}, tmp_path)
    assert [job.name for job in first] == [
        "constant-s1", "constant-s2", "cosine-s1", "cosine-s2"
    ]  # fmt: skip
    assert not (tmp_path / "prediction.json").exists()
    records = {job.name: trained(job) for job in first}
    last = study.propose(records, tmp_path)
    assert [job.overrides["schedule"] for job in last] == ["wsd", "wsd"]
    written = (tmp_path / "prediction.json").read_bytes()
    assert json.loads(written)["before_target"]
    records |= {job.name: trained(job, sd=0.5) for job in last}
    assert study.propose(records, tmp_path) == []
    assert (tmp_path / "prediction.json").read_bytes() == written
    assert list(study.plan()) == [*first, *last]


def test_noise_is_seen_in_the_interval_and_the_errors(tmp_path: Path) -> None:
    result = run(made_study(seeds=3), tmp_path, sd=0.01)
    assert result["mape"] < 0.01 < result["baselines"]["constant"]["mape"]
    assert result["baselines"]["cosine"]["final_error"] == pytest.approx(
        truth("cosine").values[-1] / truth("wsd").values[-1] - 1, abs=0.01
    )
    assert result["inside"] > 0.8
    width = result["final"]["high"] - result["final"]["low"]
    assert 0.01 < width < 0.1


def test_a_late_prediction_says_so(tmp_path: Path) -> None:
    study = made_study()
    result = study.conclude({job.name: trained(job) for job in study.plan()}, tmp_path)
    assert not result["predicted_before_target"]
    assert any("already trained" in words for words in result["warnings"])


def test_a_diverged_schedule_leaves_nothing_to_predict(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: trained(job) for job in study.seen()}
    lost = made_record(
        dataclasses.replace(study.seen()[0], overrides={"model.width": 64, "seed": 1}), None
    )
    records[study.seen()[0].name] = lost
    assert study.propose(records, tmp_path) == []
    result = study.conclude(records, tmp_path)
    assert result["parameters"] is None
    assert result["final"] is None
    assert any("diverged" in words for words in result["warnings"])
    assert any("nothing was predicted" in words for words in result["warnings"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unseen": "spiral"}, r"study\.fitted and study\.unseen.*constant.*got spiral"),
        ({"fitted": ["cosine"]}, r"study\.fitted must name two"),
        ({"fitted": ["cosine", "cosine"]}, r"study\.fitted must name two"),
        ({"unseen": "cosine"}, r"not study\.unseen"),
        ({"from_tokens": 10_000}, r"study\.from_tokens must lie between"),
        ({"from_tokens": TOTAL}, r"study\.from_tokens must lie between"),
        ({"evaluations": 12}, r"budget\.evaluations.*leaves 9"),
        ({"seeds": 0}, r"study\.seeds"),
    ],
)
def test_what_could_teach_nothing_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
