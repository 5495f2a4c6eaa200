from __future__ import annotations

from typing import Any

import pytest

from tests.studies.armed import SERVED, TRAIN_TOKENS, arm_of, loss_of, made, made_arms
from windtunnel.interfaces import Job, Record
from windtunnel.studies.arms import Arms, check_own

ARMS: dict[str, dict[str, Any]] = {
    "control": {"sampler": None},
    "better": {"sampler": "selection", "sampler.selection.fraction": 0.3},
    "worse": {"sampler": "uniform"},
}
GAINS = {"better": 0.05, "worse": -0.05}


def done(arms: Arms, loss: Any) -> tuple[dict[str, Record], list[list[Job]]]:
    records: dict[str, Record] = {}
    batches = []
    while batch := list(arms.propose(ARMS, records)):
        batches.append(batch)
        records |= {job.name: made(job, loss(job), {}) for job in batch}
    return records, batches


def test_every_arm_gets_the_same_trials_and_then_its_best_rate_with_fresh_seeds() -> None:
    arms = made_arms()
    _, (tried, trained) = done(arms, loss_of(GAINS, 0.001))
    for own in ARMS:
        mine = [job for job in tried if arm_of(job) == own]
        assert {(j.overrides["optim.lr"], j.overrides["seed"]) for j in mine} == {
            (lr, seed) for lr in (0.0625, 0.125, 0.25) for seed in (4, 5)
        }
        mine = [job for job in trained if arm_of(job) == own]
        assert [job.overrides["seed"] for job in mine] == [1, 2, 3]
        assert {job.overrides["optim.lr"] for job in mine} == {0.125}
        assert all(job.overrides.items() >= ARMS[own].items() for job in mine)
    assert len({job.name for job in (*tried, *trained)}) == 3 * (6 + 3)


def test_arms_are_set_beside_the_control_seed_by_seed() -> None:
    arms = made_arms()
    records, _ = done(arms, loss_of(GAINS, 0.02))
    found = arms.stand(ARMS, records, "control")
    assert found["arms"]["control"]["less_control"] is None
    for own, gain in GAINS.items():
        less = found["arms"][own]["less_control"]
        assert less["low"] < -gain < less["high"]
        assert less["high"] - less["low"] < 0.01  # the seeds alone move losses by 0.02
    better = found["arms"]["better"]
    losses = [records[f"better-s{seed}"].evaluation for seed in (1, 2, 3)]
    assert better["loss"]["mean"] == pytest.approx(sum(e.loss_nats for e in losses if e) / 3)
    assert better["bits_per_byte"]["mean"] == pytest.approx(better["loss"]["mean"] / 2)
    assert better["domains"]["b"] == pytest.approx(better["loss"]["mean"] + 1)
    assert better["data"] == {"tokens": SERVED, "epochs": TRAIN_TOKENS / SERVED}
    assert found["arms"]["control"]["data"] == {"tokens": TRAIN_TOKENS, "epochs": 1.0}
    assert len(found["jobs"]) == len(records)
    assert found["warnings"] == []


def test_an_arm_without_a_loss_is_not_trained_and_a_rate_on_the_edge_is_said() -> None:
    arms = made_arms(lr_factors=[1.0, 2.0])
    loss = loss_of(GAINS, 0.001)
    records, _ = done(arms, lambda job: None if arm_of(job) == "worse" else loss(job))
    assert not [name for name in records if name.startswith("worse-s")]
    found = arms.stand(ARMS, records, "control")
    assert found["arms"]["worse"]["loss"] == {"mean": None, "sd": None, "seeds": 0}
    assert found["arms"]["worse"]["less_control"] is None
    assert found["warnings"] == [
        "control: the best learning rate lies on the edge of the grid",
        "better: the best learning rate lies on the edge of the grid",
        "worse: no learning rate gave a loss, so it was not trained",
    ]


def test_a_student_that_diverged_is_left_out_and_said() -> None:
    arms = made_arms()
    loss = loss_of(GAINS, 0.001)
    records, _ = done(arms, lambda job: None if job.name == "better-s2" else loss(job))
    found = arms.stand(ARMS, records, "control")
    assert found["arms"]["better"]["loss"]["seeds"] == 2
    assert len(found["arms"]["better"]["less_control"]["values"]) == 2
    assert found["warnings"] == ["better-s2 was left out: diverged at step 7"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_factors": []}, r"study\.arms\.lr_factors must hold at least 1 values to train at"),
        ({"seeds": 0}, r"study\.seeds is how many seeds"),
        ({"trial_seeds": 0}, r"study\.arms\.trial_seeds is how many .* got 0"),
        ({"level": 1.0}, r"study\.level must lie between 0 and 1"),
    ],
)
def test_bad_settings_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_arms(**changes)


def test_what_a_study_sets_may_not_be_given() -> None:
    check_own("study.small", {"model.width": 8}, ["sampler"])
    with pytest.raises(ValueError, match=r"study\.small: sampler is set by the study; leave"):
        check_own("study.small", {"sampler": "uniform"}, ["sampler"])
