from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made import VOCABULARY, Kept, made_records, sizes
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.studies.compare import Compare
from windtunnel.studies.method import Method

METHOD = Method("least_squares", None, "profile", 0.9, 200, 0)
VARIANTS = {
    "plain": {},
    "better": {"model/head": "cosine"},
    "fast": {"loss": "z", "loss.weight": 0.1, "optim.lr": 0.5},
}
FACTORS = [0.25, 0.5, 1.0, 2.0, 4.0]


def made_compare(**changes: Any) -> Compare:
    values: dict[str, Any] = {
        "variants": VARIANTS,
        "reference": "plain",
        "widths": [16, 24, 32, 48, 64],
        "target_width": 256,
        "seeds": 3,
        "lr": 0.125,
        "lr_factors": FACTORS,
        "sweep_width": 24,
        "sweep_seeds": 2,
        "law": "power_law_constant",
        "method": METHOD,
        "n_convention": "non_embedding",
        "flops_convention": "kaplan",
        "figures": ["grad_norm_spread", "calibration.ece"],
        "report": Kept(),
    }
    return Compare(**(values | changes))


def variant_of(job: Job) -> str:
    return job.name.split("-")[0]


GAIN = {"plain": 0.0, "better": -0.1, "fast": 0.03}
BEST = {"plain": 0.125, "better": 0.25, "fast": 0.25}


def truth(job: Job) -> float:
    """A power law per variant, lowest at the variant's best rate."""
    variant = variant_of(job)
    away = math.log2(job.overrides["optim.lr"] / BEST[variant])
    n = sizes(job.overrides["model.width"])["non_embedding"]
    return 20 * n**-0.3 + 2.5 + GAIN[variant] + 0.05 * away**2


def noisy(sd: float) -> Callable[[Job], float]:
    """A seed moves all variants alike, and each a little by itself."""
    own = random.Random(0)

    def loss(job: Job) -> float:
        shared = random.Random(f"{job.overrides['seed']} {job.overrides['model.width']}")
        return truth(job) + shared.gauss(0, sd) + own.gauss(0, sd / 10)

    return loss


def run(
    study: Compare, loss: Callable[[Job], float | None], folder: Path
) -> tuple[dict[str, Any], dict[str, Record], list[list[Job]]]:
    """Does what the sweeper does, with made records."""
    records: dict[str, Record] = {}
    batches = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        curve = Curve([500_000, 1_000_000], [4.0, 3.0])
        records |= made_records(batch, loss, eval_curve=curve)
    return study.conclude(records, folder), records, batches


def test_every_variant_gets_the_same_trials_around_its_own_rate(tmp_path: Path) -> None:
    study = made_compare()
    batch = study.propose({}, tmp_path)
    assert len(batch) == 3 * 5 * 2
    assert {job.role for job in batch} == {"sweep"}
    assert {job.overrides["seed"] for job in batch} == {4, 5}
    rates = {v: sorted({j.overrides["optim.lr"] for j in batch if variant_of(j) == v})
             for v in VARIANTS}  # fmt: skip
    assert rates["plain"] == rates["better"] == [0.125 * factor for factor in FACTORS]
    assert rates["fast"] == [0.5 * factor for factor in FACTORS]
    overrides = next(job for job in batch if variant_of(job) == "fast").overrides
    assert (overrides["loss"], overrides["loss.weight"]) == ("z", 0.1)
    assert list(overrides)[:2] == ["loss", "loss.weight"]


def test_the_loss_before_training_is_that_of_the_reference(tmp_path: Path) -> None:
    """Another loss trains on a scale of its own, which says nothing about nats."""
    study = made_compare()
    result, records, _ = run(study, noisy(0.002), tmp_path)
    other = Curve([4096], [-50.0])
    changed = {
        name: record
        if name.startswith("plain-")
        else dataclasses.replace(record, train_curve=other)
        for name, record in records.items()
    }
    again = study.conclude(changed, tmp_path)
    assert again["loss_before_training"] == result["loss_before_training"] == math.log(VOCABULARY)


def test_the_ladder_takes_each_variants_best_rate_and_fresh_seeds(tmp_path: Path) -> None:
    study = made_compare()
    _, records, batches = run(study, noisy(0.002), tmp_path)
    assert [len(batch) for batch in batches] == [30, 3 * 5 * 3]
    for job in batches[1]:
        assert job.role == "rung"
        assert job.overrides["optim.lr"] == BEST[variant_of(job)]
        assert job.overrides["seed"] in (1, 2, 3)
    planned = {job.name: job for job in study.plan()}
    assert set(planned) == set(records)
    for batch in batches:
        for job in batch:
            mine = planned[job.name].overrides
            assert mine == {k: v for k, v in job.overrides.items() if k in mine}
            assert {"model.width", "seed"} <= set(mine)
    some = {name: records[name] for name in list(records)[2:]}
    assert [job.name for job in study.propose(some, tmp_path)] == list(records)[:2]


def test_the_better_design_is_told_by_its_size_and_its_probability(tmp_path: Path) -> None:
    result, _, _ = run(made_compare(), noisy(0.004), tmp_path)
    n = sizes(256)["non_embedding"]
    assert result["target"] == {"width": 256, "n": n}
    for name, gain in GAIN.items():
        own = result["variants"][name]
        expected = 20 * n**-0.3 + 2.5 + gain
        assert own["prediction"]["low"] < expected < own["prediction"]["high"]
        assert own["trials"]["best_lr"] == BEST[name]
        if name != "plain":
            verdict = own["against_reference"]
            assert verdict["low"] < gain < verdict["high"]
            assert verdict["difference"] == pytest.approx(gain, abs=0.005)
            assert verdict["n_pairs"] == 15
            assert verdict["rho"] > 0.9
            assert verdict["probability"] == (1.0 if gain < 0 else 0.0)
    assert result["variants"]["plain"]["against_reference"] is None
    assert result["variants"]["plain"]["curve"] == {
        "tokens": [500_000, 1_000_000], "loss": [4.0, 3.0]
    }  # fmt: skip
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_equal_designs_stay_undecided(tmp_path: Path) -> None:
    study = made_compare(variants={"plain": {}, "better": {}})
    chances = []
    for seed in range(4):
        own = random.Random(seed)

        def loss(job: Job, own: random.Random = own) -> float:
            return truth(job) - GAIN[variant_of(job)] + own.gauss(0, 0.01)

        result, _, _ = run(study, loss, tmp_path)
        chances.append(result["variants"]["better"]["against_reference"]["probability"])
    assert 0.1 < sum(chances) / 4 < 0.9
    assert max(chances) - min(chances) > 0.1


def test_widths_hold_mean_spread_and_cost(tmp_path: Path) -> None:
    result, records, _ = run(made_compare(), noisy(0.004), tmp_path)
    own = result["variants"]["better"]["widths"]["32"]
    losses = [records[f"better-w32-s{seed}"].evaluation.loss_nats for seed in (1, 2, 3)]  # type: ignore[union-attr]
    mean = sum(losses) / 3
    assert own["loss"] == pytest.approx(mean)
    assert own["sd"] == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in losses) / 2))
    assert (own["n"], own["seconds"]) == (sizes(32)["non_embedding"], 8.0)


def test_figures_are_those_of_the_widest_runs(tmp_path: Path) -> None:
    study = made_compare()
    _, records, _ = run(study, noisy(0.004), tmp_path)
    measured = {}
    for name, record in records.items():
        ece = int(name.rpartition("-w")[2].partition("-")[0]) / 1000 + record.seed / 100
        measured[name] = dataclasses.replace(record, measurements={"calibration": {"ece": ece}})
    figures = study.conclude(measured, tmp_path)["variants"]["better"]["figures"]
    expected = {"mean": pytest.approx(0.084), "sd": pytest.approx(0.01)}
    assert figures == {"grad_norm_spread": None, "calibration.ece": expected}


def test_sensitivity_counts_a_lost_trial_as_untrained(tmp_path: Path) -> None:
    def loss(job: Job) -> float | None:
        return None if job.overrides["optim.lr"] == 2.0 else truth(job)

    result, _, _ = run(made_compare(), loss, tmp_path)
    tried = result["variants"]["fast"]["trials"]
    best = truth(Job("fast-", "", {"model.width": 24, "optim.lr": 0.25}))
    expected = (0.05 * (1 + 0 + 1 + 4) + math.log(1024) - best) / 5
    assert tried["losses"][-1] is None
    assert tried["n_lost"] == 2
    assert tried["sensitivity"] == pytest.approx(expected)


def test_a_best_rate_on_the_edge_is_said(tmp_path: Path) -> None:
    study = made_compare(lr_factors=[0.5, 1.0, 2.0])
    result, _, _ = run(study, noisy(0.001), tmp_path)
    assert "fast: the best learning rate lies on the edge of the grid" in result["warnings"]
    assert not any(words.startswith("plain") for words in result["warnings"])


def test_a_variant_that_never_trains_is_kept_without_a_ladder(tmp_path: Path) -> None:
    result, _, batches = run(
        made_compare(), lambda job: None if variant_of(job) == "fast" else truth(job), tmp_path
    )
    assert {variant_of(job) for job in batches[1]} == {"plain", "better"}
    fast = result["variants"]["fast"]
    assert fast["trials"]["best_lr"] is fast["prediction"] is fast["against_reference"] is None
    assert "fast: no learning rate gave a loss, so it has no ladder" in result["warnings"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_lost_rungs_are_named_and_left_out(tmp_path: Path) -> None:
    def loss(job: Job) -> float | None:
        lost = job.name.startswith("better-w") and job.overrides["model.width"] in (48, 64)
        return None if lost else noisy(0.004)(job)

    result, _, _ = run(made_compare(), loss, tmp_path)
    own = result["variants"]["better"]
    assert list(own["widths"]) == ["16", "24", "32"]
    assert own["prediction"] is own["against_reference"] is None
    assert "better: 3 widths hold a loss, too few to predict the target" in result["warnings"]
    assert "better-w48-s1 was left out: diverged at step 7" in result["warnings"]


def test_jobs_that_did_not_end_leave_the_rest(tmp_path: Path) -> None:
    study = made_compare()
    result = study.conclude({}, tmp_path)
    assert result["target"]["n"] is None
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"plain": {}}}, r"study\.variants must hold at least 2"),
        ({"reference": "other"}, r"study\.reference must be one of study\.variants.*got other"),
        ({"variants": {"plain": {}, "a/b": {}}}, r"study\.variants: a name .*got 'a/b'"),
        ({"variants": {"plain": {}, "x": {"seed": 3}}}, r"study\.variants\.x: seed is set by"),
        ({"variants": {"plain": {}, "x": {"model.width": 3}}}, r"model\.width is set by"),
        ({"widths": [16, 24, 32]}, r"study\.widths must hold at least 4"),
        ({"lr_factors": [1.0, 2.0]}, r"study\.lr_factors must hold at least 3"),
        ({"sweep_width": 20}, r"study\.sweep_width must be one of study\.widths.*got 20"),
        ({"target_width": 64}, r"study\.target_width must lie beyond.*got 64"),
        ({"sweep_seeds": 0}, r"study\.sweep_seeds .* at least 1; got 0"),
        ({"seeds": 0}, r"study\.seeds .* at least 1; got 0"),
    ],
)
def test_what_could_not_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_compare(**changes)
