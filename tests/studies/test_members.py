from __future__ import annotations

import pytest

from tests.made import made_record, made_records
from windtunnel.interfaces import Job
from windtunnel.model.count import flops_per_token
from windtunnel.studies import members

JOB = Job("w32-s1", "rung", {"model.width": 32, "seed": 1})
COUNTING = {"n_convention": "total", "flops_convention": "kaplan"}


def test_the_conventions_are_those_that_models_count() -> None:
    counts = {"total": 3, "non_embedding": 1, "with_head": 2}
    assert set(members.N_CONVENTIONS) == set(counts)
    flops = flops_per_token(counts, depth=1, width=1, length=1)
    assert set(members.FLOPS_CONVENTIONS) == set(flops)


@pytest.mark.parametrize(
    ("outcome", "ended"), [("finished", True), ("diverged", True), ("stopped", False)]
)
def test_a_stopped_job_has_still_to_run(outcome: str, ended: bool) -> None:
    records = {JOB.name: made_record(JOB, 3.0, outcome=outcome)}
    assert members.missing([JOB], records) == ([] if ended else [JOB])
    assert members.missing([JOB], {}) == [JOB]


@pytest.mark.parametrize("loss", [None, float("nan"), float("inf")])
def test_a_row_without_a_finite_loss_is_named_and_not_usable(loss: float | None) -> None:
    row = members.row(JOB, made_record(JOB, loss), **COUNTING)
    assert row["loss"] is None
    assert members.usable([row]) == []
    assert members.left_out([row])[0].startswith("w32-s1 was left out")


def test_a_row_holds_what_the_record_says() -> None:
    record = made_record(JOB, 3.0)
    row = members.row(JOB, record, **COUNTING)
    assert row["n"] == record.parameters["total"]
    assert row["flops"] == record.train_flops["kaplan"]
    assert (row["loss"], row["seconds"], row["seed"]) == (3.0, record.seconds, 1)
    assert members.left_out([row]) == []
    assert members.row(JOB, None, **COUNTING)["outcome"] == "missing"


def test_means_and_groups() -> None:
    jobs = [
        Job(f"{w}-{s}", "rung", {"model.width": w, "seed": s}) for w in (64, 32) for s in (1, 2)
    ]
    records = made_records(jobs, lambda job: float(job.overrides["seed"]))
    rows = [members.row(job, records[job.name], **COUNTING) for job in jobs]
    groups = members.by(rows, "width")
    assert list(groups) == [32, 64]
    assert members.mean_loss(groups[32]) == 1.5
    assert members.mean_loss([]) is None


def test_settings_of_no_use_are_refused() -> None:
    with pytest.raises(ValueError, match=r"study\.n_convention must be one of total.*got 'all'"):
        members.check_counts(n_convention="all", flops_convention="palm")
    with pytest.raises(ValueError, match=r"study\.flops_convention must be one of kaplan"):
        members.check_counts(n_convention="total", flops_convention="6nd")
    with pytest.raises(ValueError, match=r"study\.seeds .* at least 1; got 0"):
        members.check_seeds(0)
    with pytest.raises(ValueError, match="different values above zero"):
        members.check_distinct("study.widths", [1, 1, 2], 1, "")
    with pytest.raises(ValueError, match="at least 3 values to see; got"):
        members.check_distinct("study.widths", [1, 2], 3, "to see")
