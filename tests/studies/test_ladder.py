from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record, made_records, sizes
from windtunnel.interfaces import Job, Record
from windtunnel.studies.ladder import Ladder
from windtunnel.studies.method import Method

METHOD = Method("least_squares", None, "profile", 0.95, 100, 0)
# The issue's keys, to the letter.
KEYS = {"law", "parameters", "n_convention", "prediction", "actual", "error", "gap", "baselines",
        "cost_share", "jobs", "warnings"}  # fmt: skip


def made_ladder(**changes: Any) -> Ladder:
    values: dict[str, Any] = {
        "widths": [32, 48, 64, 96, 128, 160],
        "target_width": 352,
        "seeds": 1,
        "replicates": 1,
        "law": "power_law_constant",
        "method": METHOD,
        "n_convention": "total",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return Ladder(**(values | changes))


def truth(job: Job) -> float:
    return 60 * sizes(job.overrides["model.width"])["total"] ** -0.35 + 2.8


def nearly(job: Job) -> float:
    """The truth with next to no noise: none at all has no interval."""
    return truth(job) + 1e-6 * (-1) ** (job.overrides["model.width"] // 32)


def noisy(sd: float, without: Sequence[str] = ()) -> Callable[[Job], float | None]:
    rng = random.Random(0)
    return lambda job: None if job.name in without else truth(job) + rng.gauss(0, sd)


def run(
    ladder: Ladder, loss: Callable[[Job], float | None], folder: Path
) -> tuple[dict[str, Any], dict[str, Record], list[list[str]]]:
    """Does what the sweeper does, with made records."""
    records: dict[str, Record] = {}
    batches = []
    while batch := ladder.propose(records, folder):
        batches.append([job.name for job in batch])
        records |= made_records(batch, loss)
    return ladder.conclude(records, folder), records, batches


def test_the_target_is_proposed_after_the_prediction_is_written(tmp_path: Path) -> None:
    ladder = made_ladder(seeds=2)
    rungs = ladder.propose({}, tmp_path)
    assert len(rungs) == 12
    assert not (tmp_path / "prediction.json").exists()
    records = made_records(rungs, nearly)
    some = dict(list(records.items())[3:])
    assert [job.name for job in ladder.propose(some, tmp_path)] == list(records)[:3]
    assert not (tmp_path / "prediction.json").exists()
    targets = ladder.propose(records, tmp_path)
    assert [job.name for job in targets] == ["target-w352-s1", "target-w352-s2"]
    written = json.loads((tmp_path / "prediction.json").read_text())
    assert written["before_target"]
    assert written["inputs"]["target"] == {"width": 352, "n": sizes(352)["total"]}
    assert list(ladder.plan()) == [*rungs, *targets]


def test_replicates_count_the_training_seeds_through(tmp_path: Path) -> None:
    ladder = made_ladder(seeds=2, replicates=3)
    assert [job.name for job in ladder.rungs()][:7] == [
        "w32-s1", "w32-s2", "w32-s3", "w32-s4", "w32-s5", "w32-s6", "w48-s1"
    ]  # fmt: skip
    order = [job.overrides["batch.seed"] for job in ladder.rungs()]
    assert order == [1, 1, 1, 2, 2, 2] * 6
    assert [job.overrides["seed"] for job in ladder.targets()] == [1, 4]
    assert [job.overrides["batch.seed"] for job in ladder.targets()] == [1, 2]
    result, records, batches = run(ladder, noisy(0.003), tmp_path)
    assert [len(batch) for batch in batches] == [36, 2]
    assert list(result["per_seed"]) == ["1", "2"]
    evaluation = records["target-w352-s4"].evaluation
    assert evaluation is not None
    assert result["per_seed"]["2"]["actual"] == evaluation.loss_nats
    one, _, _ = run(made_ladder(replicates=4), noisy(0.004), tmp_path / "one")
    assert "over seeds" in one["seed_sd_from"]


def test_a_prediction_is_never_rewritten(tmp_path: Path) -> None:
    ladder = made_ladder()
    records = made_records(ladder.rungs(), nearly)
    ladder.propose(records, tmp_path)
    before = (tmp_path / "prediction.json").read_bytes()
    records |= made_records(ladder.targets(), lambda job: 9.0)
    assert ladder.propose(records, tmp_path) == []
    result = ladder.conclude(records, tmp_path)
    assert (tmp_path / "prediction.json").read_bytes() == before
    assert result["prediction"]["loss"] == pytest.approx(truth(ladder.targets()[0]), rel=1e-3)
    assert result["actual"] == 9.0


def test_a_prediction_made_late_says_so(tmp_path: Path) -> None:
    ladder = made_ladder()
    result = ladder.conclude(made_records(ladder.plan(), nearly), tmp_path)
    assert not result["predicted_before_target"]
    assert any("already trained" in words for words in result["warnings"])


def test_the_result_has_the_issues_keys_and_is_json(tmp_path: Path) -> None:
    result, _, batches = run(made_ladder(), noisy(0.002), tmp_path)
    assert set(result) >= KEYS
    assert set(result["prediction"]) == {"loss", "low", "high"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [len(batch) for batch in batches] == [6, 1]
    assert result["law"] == "power_law_constant"
    assert set(result["parameters"]) == {"a", "b", "c"}
    assert abs(result["error"]) < 0.01
    assert set(result["checks"].values()) == {True}
    assert result["warnings"] == []
    assert result["predicted_before_target"]


def test_what_was_reported_is_what_was_concluded(tmp_path: Path) -> None:
    kept = Kept()
    result, _, _ = run(made_ladder(report=kept), nearly, tmp_path)
    assert kept.result == result


def test_cost_share_is_of_flops_and_of_seconds(tmp_path: Path) -> None:
    result, records, _ = run(made_ladder(), nearly, tmp_path)
    target = records["target-w352-s1"]
    rungs = [record for name, record in records.items() if name != "target-w352-s1"]
    share = result["cost_share"]
    assert share["flops_convention"] == "kaplan"
    assert share["flops"] == pytest.approx(
        sum(r.train_flops["kaplan"] for r in rungs) / target.train_flops["kaplan"]
    )
    assert share["seconds"] == pytest.approx(sum(r.seconds for r in rungs) / target.seconds)


def test_a_diverged_member_is_named_and_left_out(tmp_path: Path) -> None:
    result, _, _ = run(made_ladder(), noisy(0.001, ["w48-s1"]), tmp_path)
    line = next(line for line in result["jobs"] if line["job"] == "w48-s1")
    assert (line["outcome"], line["outcome_step"], line["fitted"]) == ("diverged", 7, False)
    assert "w48-s1 was left out: diverged at step 7" in result["warnings"]
    assert any("only 5 widths are fitted" in words for words in result["warnings"])
    assert abs(result["error"]) < 0.01


def test_too_few_members_left_is_said_and_the_target_is_not_trained(tmp_path: Path) -> None:
    lost = ["w32-s1", "w48-s1", "w64-s1"]
    result, _, batches = run(made_ladder(), noisy(0.0, lost), tmp_path)
    assert len(batches) == 1
    assert set(result) >= KEYS
    assert result["prediction"] is None
    assert any("3 widths hold a loss" in words and "needs 4" in words
               for words in result["warnings"])  # fmt: skip
    assert len(result["jobs"]) == 7


def test_missing_rungs_are_named(tmp_path: Path) -> None:
    ladder = made_ladder()
    records = made_records(ladder.rungs()[1:], nearly)
    result = ladder.conclude(records, tmp_path)
    assert result["prediction"] is None
    assert any("w32-s1 did not end" in words for words in result["warnings"])
    assert not (tmp_path / "prediction.json").exists()


def test_a_diverged_target_leaves_the_prediction_unchecked(tmp_path: Path) -> None:
    result, _, _ = run(made_ladder(), noisy(0.001, ["target-w352-s1"]), tmp_path)
    assert result["prediction"] is not None
    assert result["actual"] is None
    assert any("no target finished" in words for words in result["warnings"])


def test_a_ladder_whose_gap_drowns_in_noise_says_it_shows_nothing(tmp_path: Path) -> None:
    result, _, _ = run(made_ladder(seeds=3), noisy(0.05), tmp_path)
    assert any("too short to show anything" in words for words in result["warnings"])
    assert not result["checks"]["gap at least five seed deviations"]


def test_seed_noise_is_from_seeds_where_there_are_any(tmp_path: Path) -> None:
    several, _, _ = run(made_ladder(seeds=3), noisy(0.004), tmp_path / "several")
    assert several["seed_sd"] == pytest.approx(0.004, rel=0.4)
    assert "over seeds" in several["seed_sd_from"]
    one, _, _ = run(made_ladder(), noisy(0.004), tmp_path / "one")
    assert 0.0005 < one["seed_sd"] < 0.012
    assert "residuals" in one["seed_sd_from"]


def test_every_seed_has_its_own_result(tmp_path: Path) -> None:
    result, records, _ = run(made_ladder(seeds=3), noisy(0.003), tmp_path)
    assert list(result["per_seed"]) == ["1", "2", "3"]
    for seed, own in result["per_seed"].items():
        evaluation = records[f"target-w352-s{seed}"].evaluation
        assert evaluation is not None
        assert own["actual"] == evaluation.loss_nats
        low, high = own["prediction"]["low"], own["prediction"]["high"]
        assert own["inside"] == (low <= own["actual"] <= high)
        assert abs(own["error"]) < 0.01
    mean = sum(own["actual"] for own in result["per_seed"].values()) / 3
    assert result["actual"] == pytest.approx(mean)


def test_a_target_near_the_ladder_is_warned_of(tmp_path: Path) -> None:
    result, _, _ = run(made_ladder(target_width=288), nearly, tmp_path)
    near = [words for words in result["warnings"] if "times the largest fitted model" in words]
    assert len(near) == 2
    assert "3.2" in near[1]
    far, _, _ = run(made_ladder(target_width=384), nearly, tmp_path / "far")
    assert not any("times the largest" in words for words in far["warnings"])


def test_a_target_of_another_size_than_predicted_is_noticed(tmp_path: Path) -> None:
    ladder = made_ladder()
    records = made_records(ladder.rungs(), nearly)
    (target,) = ladder.propose(records, tmp_path)
    other = sizes(352) | {"total": 7}
    records[target.name] = made_record(target, 3.0, parameters=other)
    result = ladder.conclude(records, tmp_path)
    assert any("the target has 7 parameters" in words for words in result["warnings"])


def test_sizes_off_the_polynomial_are_warned_of(tmp_path: Path) -> None:
    ladder = made_ladder()
    records = made_records(ladder.rungs(), nearly)
    job = ladder.rungs()[2]
    records[job.name] = made_record(job, truth(job), parameters={
        name: count + 99 for name, count in sizes(64).items()})  # fmt: skip
    ladder.propose(records, tmp_path)
    written = json.loads((tmp_path / "prediction.json").read_text())
    assert any("was estimated as" in words for words in written["warnings"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [32, 64, 96]}, r"study\.widths must hold at least 4 values to fit the 3"),
        ({"target_width": 160}, r"study\.target_width must lie beyond .* end at 160; got 160"),
        ({"target_width": 100}, "nothing to extrapolate"),
        ({"law": "cubic"}, "law: expected one of"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"replicates": 0}, r"study\.replicates"),
        ({"n_convention": "all"}, r"study\.n_convention"),
    ],
)
def test_a_ladder_that_could_show_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_ladder(**changes)


def drifting(growth: float, rate: float = 0.01) -> Callable[[Job], dict[str, Any]]:
    """What `callbacks=drift` leaves where the attention logit grows as a power of N."""

    def changes(job: Job) -> dict[str, Any]:
        logit = (sizes(job.overrides["model.width"])["total"] / 1e4) ** growth
        blocks = {"0": [1.0, logit], "1": [0.5, 0.5]}
        measured = {"attention_logits": {"steps": [0, 100], "tokens": [0, 1], "blocks": blocks}}
        return {"measurements": measured, "config": {"optim": {"lr": rate}}}

    return changes


@pytest.mark.parametrize(("growth", "warns"), [(1.4, True), (0.2, False)])
def test_a_target_that_would_break_is_warned_of_before_it_is_proposed(
    growth: float, warns: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ladder, changes = made_ladder(), drifting(growth)
    records = {job.name: made_record(job, nearly(job), **changes(job)) for job in ladder.rungs()}
    records["w160-s1"] = made_record(ladder.rungs()[-1], None, **changes(ladder.rungs()[-1]))
    assert [job.role for job in ladder.propose(records, tmp_path)] == ["target"]
    n = float(sizes(352)["total"])
    expected = f"attention logit at learning rate 0.01 is predicted to be {(n / 1e4) ** growth:.3g}"
    written = json.loads((tmp_path / "prediction.json").read_text())["warnings"]
    assert any(said.startswith(expected) for said in written) == warns
    assert (expected in caplog.text) == warns


def test_measurements_that_cannot_be_carried_on_do_not_cost_the_prediction(tmp_path: Path) -> None:
    ladder, changes = made_ladder(), drifting(1.0, rate=0.0)
    records = {job.name: made_record(job, nearly(job), **changes(job)) for job in ladder.rungs()}
    assert [job.role for job in ladder.propose(records, tmp_path)] == ["target"]
    written = json.loads((tmp_path / "prediction.json").read_text())["warnings"]
    assert any("nothing is said of the target's stability" in said for said in written)
