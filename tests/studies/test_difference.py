from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept
from tests.studies.armed import TRAIN_TOKENS, arm_of, loss_of, made_arms, run, scored
from windtunnel.studies.difference import Difference

GAINS = {"chosen": 0.1, "everything": -0.02}


def made_difference(**changes: Any) -> Difference:
    values: dict[str, Any] = {
        "small": {"model.width": 8},
        "large": {"model.width": 64, "budget.tokens": 500},
        "share": 0.3,
        "split_seed": 7,
        "fraction": 0.5,
        "by_domain": True,
        "flops_convention": "kaplan",
        "arms": made_arms(),
        "report": Kept(),
    }
    return Difference(**(values | changes))


def concluded(folder: Path, loss: Any = None) -> Any:
    measured = {"scores": scored(["difference"], 700_000)}
    return run(made_difference(), loss or loss_of(GAINS, 0.002), folder, measured)


def test_each_batch_rests_on_the_one_before(tmp_path: Path) -> None:
    _, _, batches = concluded(tmp_path)
    names = [[job.name for job in batch] for batch in batches]
    assert names[:3] == [["split"], ["large", "small"], ["scores"]]
    assert [len(batch) for batch in batches[3:]] == [4 * 3 * 2, 4 * 3]
    split, scorers, (scores,) = batches[0][0], batches[1], batches[2]
    file = str(tmp_path / "split/scores/split.parquet")
    assert split.overrides["scorer.seed"] == 7
    models = [{"model.width": 64, "budget.tokens": 500}, {"model.width": 8}]
    for job, own in zip(scorers, models, strict=True):
        assert job.overrides.items() >= own.items()
        assert job.overrides["sampler.selection.score"] == file
        assert job.overrides["sampler.selection.high"] == 0.3
    assert scores.overrides["scorer.among"] == {"score": file, "at_least": 0.3, "below": None}
    assert scores.overrides["scorer.small"] == str(tmp_path / "small")
    assert scores.overrides["scorer.large"] == str(tmp_path / "large")


def test_students_differ_in_their_choice_of_the_same_text_alone(tmp_path: Path) -> None:
    _, _, batches = concluded(tmp_path)
    own = {arm_of(job): dict(job.overrides) for job in batches[4]}
    for overrides in own.values():
        for key in ("seed", "optim.lr"):
            overrides.pop(key)
    file = str(tmp_path / "scores/scores/difference.parquet")
    half = {
        "sampler.selection.fraction": pytest.approx(0.5 * 700_000 / TRAIN_TOKENS),
        "sampler.selection.by_domain": True,
    }
    scored_by = {"sampler": "selection", "sampler.selection.score": file}
    even = {"sampler/selection": "softmax", "sampler.selection.temperature": 1e9}
    assert own == {
        "chosen": {**scored_by, **half},
        "random": {**scored_by, **half, **even},
        "pool": {**scored_by, "sampler/selection": "threshold"},
        "everything": {"sampler": "uniform"},
    }


def test_the_conclusion_sets_all_arms_beside_the_random_half(tmp_path: Path) -> None:
    result, records, _ = concluded(tmp_path)
    assert result["control"] == "random"
    less = result["arms"]["chosen"]["less_control"]
    assert less["low"] < -0.1 < less["high"] < 0
    assert result["models"]["large"] == {
        "parameters": records["large"].parameters,
        "loss": 3.0,
        "tokens": 500,
        "flops": records["large"].train_flops["kaplan"],
    }
    assert result["scores"]["n_documents"] == 7
    assert len(result["jobs"]) == 36
    assert result["warnings"] == []


def test_a_plan_names_every_job_but_the_scoring(tmp_path: Path) -> None:
    _, records, _ = concluded(tmp_path)
    planned = made_difference().plan()
    assert {job.name for job in planned} == set(records) - {"scores"}
    assert all("sampler" not in job.overrides for job in planned)


@pytest.mark.parametrize("lost", ["large", "small"])
def test_without_a_model_nothing_is_scored(tmp_path: Path, lost: str) -> None:
    result, records, batches = concluded(tmp_path, lambda job: None if job.name == lost else 3.0)
    assert len(batches) == 2
    assert "scores" not in records
    assert result["arms"] == {}
    assert result["warnings"] == ["nothing was scored, so no student was trained"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0}, r"study\.share must lie between 0 and 1; got 0"),
        ({"fraction": 1}, r"study\.fraction must lie between 0 and 1; got 1"),
        ({"small": {"sampler": "uniform"}}, r"study\.small: sampler is set by the study"),
        ({"large": {"task": "score"}}, r"study\.large: task is set by the study"),
    ],
)
def test_bad_settings_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_difference(**changes)
