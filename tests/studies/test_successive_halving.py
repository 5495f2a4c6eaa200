from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.optim.schedule import wsd
from windtunnel.studies.method import Method
from windtunnel.studies.pilot import Pilot
from windtunnel.studies.successive_halving import SuccessiveHalving

STEP, TOTAL, WARMUP, EVALUATIONS = 1_000, 360_000, 20_000, 18
SCHEDULE = partial(wsd, warmup_tokens=WARMUP, decay_fraction=0.2, final=0.0)
LRS = {f"lr{i}": 2.0 ** (i - 12) for i in range(9)}
METHOD = Method("least_squares", None, "profile", 0.9, 200, 0)
THETA = {"A": 0.2, "alpha": 0.5, "C": 0.7, "p": 0.7, "lr": LRS["lr4"]}
BEST = "lr6"


def made_study(**changes: Any) -> SuccessiveHalving:
    values: dict[str, Any] = {
        "trials": {name: {"optim.lr": lr} for name, lr in LRS.items()},
        "pilots": ["lr4", "lr7"],
        "rule": "predicted",
        "rungs": [2, 6, 18],
        "reduction": 3,
        "truth": False,
        "schedule": SCHEDULE,
        "lr": 0.02,
        "warmup_tokens": WARMUP,
        "total_tokens": TOTAL + 1_500,
        "evaluations": EVALUATIONS,
        "sequences": 10,
        "length": 100,
        "decay": 0.98,
        "seeds": 2,
        "method": METHOD,
        "report": Kept(),
    }
    return SuccessiveHalving(**(values | changes))


def truth(lr: float) -> list[float]:
    """Ends lowest at lr6, by a parabola in log2 lr; before the end what the law says is missing."""
    tokens = [20_000 * (i + 1) for i in range(EVALUATIONS)]
    gain = Pilot(SCHEDULE, WARMUP, tokens, STEP, 0.98, METHOD).gain(THETA, lr)
    end = 3 + 0.005 * (math.log2(lr / LRS[BEST])) ** 2
    return (end - gain).tolist()


def trained(job: Job, until: int) -> Record:
    tokens = [20_000 * (i + 1) for i in range(until)]
    values = truth(job.overrides["optim.lr"])[:until]
    sized = dataclasses.replace(job, overrides={**job.overrides, "model.width": 16})
    return made_record(sized, values[-1], tokens=tokens[-1], eval_curve=Curve(tokens, values))


def done(job: Job) -> Record:
    return trained(job, job.overrides.get("callbacks.stop.tokens", TOTAL) // 20_000)


def run(
    study: SuccessiveHalving, folder: Path, lost: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[list[Job]]]:
    records: dict[str, Record] = {}
    batches: list[list[Job]] = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        for job in batch:
            sized = dataclasses.replace(job, overrides={**job.overrides, "model.width": 16})
            gone = job.name.startswith(lost) if lost else False
            records[job.name] = made_record(sized, None) if gone else done(job)
    return study.conclude(records, folder), batches


def names(batch: list[Job], seed: int = 1) -> list[str]:
    return [job.name for job in batch if job.overrides["seed"] == seed]


def test_a_third_of_the_trials_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    study = made_study()
    _, (pilots, first, second, third) = run(study, tmp_path)
    assert [job.name for job in pilots] == ["pilot-lr4", "pilot-lr7"]
    assert not any("callbacks.stop.tokens" in job.overrides for job in pilots)
    assert names(first) == [f"lr{i}-r0-s1" for i in range(9)]
    for job in first:
        assert job.overrides["callbacks.stop.tokens"] == 40_000
        assert job.overrides["callbacks.keep.tokens"] == [40_000]
        assert "branch" not in job.overrides
    assert sorted(names(second)) == ["lr5-r1-s1", "lr6-r1-s1", "lr7-r1-s1"]
    job = next(job for job in second if job.name == "lr6-r1-s2")
    assert job.overrides["callbacks.stop.tokens"] == 120_000
    assert job.overrides["branch"] == "checkpoint"
    assert job.overrides["branch.folder"] == str(tmp_path / "lr6-r0-s2")
    assert job.overrides["branch.tokens"] == 40_000
    assert names(third) == ["lr6-r2-s1"]
    assert "callbacks.stop.tokens" not in third[0].overrides
    assert [job.name for job in study.plan()] == [j.name for j in [*pilots, *first]]


def test_a_trial_that_was_stopped_has_no_loss_at_the_end(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    assert result["final"]["lr6"]["1"] == pytest.approx(truth(LRS["lr6"])[-1])
    assert result["final"]["lr0"] == {"1": None, "2": None}
    assert result["curves"]["lr0"]["1"][1] is not None


def test_the_rules_differ_where_the_end_differs(tmp_path: Path) -> None:
    """By early loss a rate that is still at its peak looks worse than it will be."""
    predicted, _ = run(made_study(), tmp_path)
    early, batches = run(made_study(rule="early_loss"), tmp_path)
    assert predicted["won"] == {"1": BEST, "2": BEST}
    assert early["won"]["1"] != BEST
    assert batches[0][0].name == "lr0-r0-s1"  # no pilot is asked
    assert early["laws"] == {}
    for name, value in THETA.items():
        assert predicted["laws"]["predicted"][name] == pytest.approx(value, rel=0.05)


def test_27_trials_cost_81_instead_of_729() -> None:
    study = made_study(
        trials={f"t{i}": {"optim.lr": 2.0 ** (i / 3 - 9)} for i in range(27)},
        pilots=["t12", "t20"], rungs=[1, 3, 9, 27], evaluations=27, total_tokens=540_000,
        rule="early_loss", seeds=1,
    )  # fmt: skip
    entered = {1: [["t"] * n for n in (27, 9, 3, 1)]}
    assert study._cost(entered)["halving"] == pytest.approx(81 / 27)
    assert study._cost(entered)["all"] == pytest.approx(729 / 27)


def test_the_truth_trains_the_rest_and_judges_the_rules(tmp_path: Path) -> None:
    result, batches = run(made_study(truth=True), tmp_path)
    rests = [job for job in batches[-1] if job.role == "truth"]
    assert len(rests) == 2 * 8
    dropped = next(job for job in rests if job.name == "lr5-rest-s1")
    assert dropped.overrides["branch.folder"] == str(tmp_path / "lr5-r1-s1")
    assert dropped.overrides["branch.tokens"] == 120_000
    early = next(job for job in rests if job.name == "lr0-rest-s2")
    assert early.overrides["branch.folder"] == str(tmp_path / "lr0-r0-s2")
    judged = result["judgement"]
    assert judged["best"] == BEST
    assert judged["n_drawn"] == 6
    assert judged["rules"]["predicted"]["won"] > 0.9
    assert judged["rules"]["predicted"]["regret"] < 0.001
    assert min(judged["rules"]["predicted"]["agreement"]) > 0.9
    assert judged["rules"]["early_loss"]["won"] < 0.5
    assert judged["rules"]["early_loss"]["regret"] > 0
    assert judged["first_at_rung"]["predicted"] == [BEST] * 3
    assert judged["rules"]["proportional"]["won"] < 0.5  # the annealing here grows as lr^0.7
    assert result["cost"]["pilot"] == 2
    assert judged["first_at_rung"]["early_loss"][1] != BEST
    assert result["curves"]["lr0"]["1"] == pytest.approx(truth(LRS["lr0"]))
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_what_diverges_does_not_go_on(tmp_path: Path) -> None:
    result, batches = run(made_study(truth=True), tmp_path, lost=("lr6-",))
    assert "lr6-r1-s1" not in names(batches[2])
    assert len(names(batches[2])) == 3
    assert not any(job.name.startswith("lr6-rest") for job in batches[-1])
    assert result["final"]["lr6"] == {"1": None, "2": None}
    assert result["judgement"]["best"] in ("lr5", "lr7")
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_seed_of_which_all_diverged_wins_nothing(tmp_path: Path) -> None:
    result, batches = run(made_study(seeds=1), tmp_path, lost=("lr",))
    assert len(batches) == 2
    assert result["won"] == {"1": None}


def test_a_lost_pilot_leaves_the_rules_that_do_without(tmp_path: Path) -> None:
    result, _ = run(made_study(truth=True), tmp_path, lost=("pilot-lr7",))
    assert set(result["laws"]) == {"proportional"}
    words = "the pilots left too few curves, so trials are ranked by early loss"
    assert words in result["warnings"]
    assert set(result["judgement"]["rules"]) == {"early_loss", "proportional"}


def test_one_pilot_is_enough_for_the_law_as_it_stands(tmp_path: Path) -> None:
    result, batches = run(made_study(rule="proportional"), tmp_path)
    assert [job.name for job in batches[0]] == ["pilot-lr4"]
    assert set(result["laws"]) == {"proportional"}
    assert result["laws"]["proportional"]["p"] == 1
    assert result["cost"]["pilot"] == 1


def test_an_unfinished_study_concludes_what_it_can(tmp_path: Path) -> None:
    study = made_study(truth=True)
    first = {job.name: done(job) for job in study.plan()}
    for records in ({}, first):
        result = study.conclude(records, tmp_path)
        assert result["won"] == {"1": None, "2": None}
        assert any("no judgement" in words for words in result["warnings"])
        assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reduction": 1}, r"study\.reduction must be 2 or more"),
        ({"reduction": 10}, r"no more than there are trials, 9; got 10"),
        ({"pilots": ["lr4", "x"]}, r"study\.pilots must be some of study\.trials.*got lr4, x"),
        ({"pilots": ["lr4"]}, r"rule=predicted needs study\.pilots at 2 learning rates .* got lr4"),
        ({"pilots": [], "rule": "proportional"}, r"at 1 learning rates or more, got none"),
        ({"rule": "luck"}, r"study\.rule must be one of early_loss, predicted, proportional; got"),
        ({"rungs": [18]}, r"study\.rungs must be two"),
        ({"rungs": [6, 2, 18]}, r"study\.rungs must be two"),
        ({"rungs": [2, 6]}, r"rising to budget\.evaluations=18; got \[2, 6\]"),
        ({"rungs": [0, 18]}, r"study\.rungs must be two"),
        ({"trials": {"lr4": {"seed": 1}, "lr7": {}, "c": {}}}, r"trials\.lr4: seed is set by"),
        ({"warmup_tokens": 240_000}, r"budget\.evaluations must leave 8 .*which leaves? 6"),
        ({"seeds": 0}, r"study\.seeds"),
    ],
)
def test_what_cannot_be_halved_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
