from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from tests.studies.mixed import TOKENS, trained
from tests.studies.test_choice import made_choice
from windtunnel.interfaces import Job, Record
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.studies.regmix import RegMix, noise

BEST = {"code": 0.2, "news": 0.4, "talk": 0.25, "wiki": 0.15}


def bowl(weights: Mapping[str, float], width: int) -> dict[str, float]:
    """Every domain's loss is lowest at `BEST`, and lower for wider models."""
    away = sum((weights.get(name, 0.0) - best) ** 2 for name, best in BEST.items())
    return {name: 2 + i / 10 + away + 10 / width for i, name in enumerate(TOKENS)}


def made_study(**changes: Any) -> RegMix:
    values: dict[str, Any] = {
        "target": "mean",
        "proxies": 60,
        "held_out": 20,
        "noise_seeds": 3,
        "proxy_width": 16,
        "proxy_tokens": 50_000,
        "draw": Draw(low=0.1, high=5.0, steps=15, temper=0.5),
        "draw_seed": 0,
        "epochs": 4.0,
        "choice": made_choice(),
        "check_width": 48,
        "check_tokens": 400_000,
        "seeds": 3,
        "report": Kept(),
    }
    return RegMix(**(values | changes))


def run(
    study: RegMix, folder: Path, sd: float = 0.002
) -> tuple[dict[str, Any], dict[str, Record], list[list[Job]]]:
    records: dict[str, Record] = {}
    batches = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        records |= {job.name: trained(job, bowl, sd) for job in batch}
    return study.conclude(records, folder), records, batches


def test_the_best_mixture_is_found_and_beats_the_others(tmp_path: Path) -> None:
    result, _, _ = run(made_study(), tmp_path)
    chosen = result["candidates"]["chosen"]
    assert chosen["weights"] == pytest.approx(BEST, abs=0.08)
    assert result["regressors"]["ridge"]["spearman_low"] > 0.8
    assert chosen["check"]["mean"] == pytest.approx(2.15 + 10 / 48, abs=0.02)
    assert all(own["high"] < 0 for name, own in result["against"].items() if name != "best_proxy")
    assert chosen["domains"]["wiki"] - chosen["domains"]["code"] == pytest.approx(0.3, abs=0.01)
    for own in result["candidates"].values():
        away = sum((own["weights"][name] - best) ** 2 for name, best in BEST.items())
        assert own["small"]["mean"] == pytest.approx(2.15 + away + 10 / 16, abs=0.02)
    assert result["candidates"]["natural"]["small"]["seeds"] == 3
    ours, theirs = (result["candidates"][n]["small_losses"] for n in ("chosen", "natural"))
    mean = sum(ours[seed] - theirs[seed] for seed in (1, 2, 3)) / 3
    assert result["small_against"]["natural"]["mean"] == pytest.approx(mean)
    assert result["predicted_before_check"]
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))


def test_stages_follow_each_other_and_the_prediction_comes_before_the_check(
    tmp_path: Path,
) -> None:
    study = made_study()
    first = study.propose({}, tmp_path)
    assert [job.name for job in first] == ["natural-s1", "natural-s2", "natural-s3"]
    assert {job.overrides["sampler.mixture.alpha"] for job in first} == {1.0}
    records = {job.name: trained(job, bowl, 0.002) for job in first}
    second = study.propose(records, tmp_path)
    assert len(second) == 80
    assert len({json.dumps(j.overrides["sampler.mixture.weights"]) for j in second}) == 80
    assert {(j.overrides["seed"], j.overrides["batch.seed"]) for j in second} == {(1, 1)}
    for job in second:
        weights = job.overrides["sampler.mixture.weights"]
        assert sum(weights.values()) == pytest.approx(1)
        assert all(0 < w <= 4 * TOKENS[name] / 400_000 + 1e-9 for name, w in weights.items())
    assert not (tmp_path / "prediction.json").exists()
    records |= {job.name: trained(job, bowl, 0.002) for job in second}
    third = study.propose(records, tmp_path)
    written = (tmp_path / "prediction.json").read_bytes()
    assert json.loads(written)["before_check"]
    small, large = third[:9], third[9:]
    assert {job.name.rpartition("-s")[0] for job in small} == {
        "chosen-w16", "uniform-w16", "best_proxy-w16",
    }  # fmt: skip
    assert {job.overrides["budget.tokens"] for job in small} == {50_000}
    assert [job.name for job in large][:3] == ["chosen-w48-s1", "chosen-w48-s2", "chosen-w48-s3"]
    assert {job.overrides["budget.tokens"] for job in large} == {400_000}
    assert len(large) == 12
    records |= {job.name: trained(job, bowl, 0.5) for job in third}
    assert study.propose(records, tmp_path) == []
    assert (tmp_path / "prediction.json").read_bytes() == written


def test_what_is_planned_is_what_is_proposed(tmp_path: Path) -> None:
    study = made_study()
    _, records, batches = run(study, tmp_path)
    planned = {job.name: job for job in study.plan()}
    assert set(planned) == set(records)
    for job in (job for batch in batches for job in batch):
        mine = planned[job.name]
        assert mine.role == job.role
        assert (
            mine.overrides.items()
            <= {k: v for k, v in job.overrides.items() if k in mine.overrides}.items()
        )


def test_one_domain_can_be_the_target(tmp_path: Path) -> None:
    def selfish(weights: Mapping[str, float], width: int) -> dict[str, float]:
        return {name: 4 - weights.get(name, 0.0) ** 0.5 for name in TOKENS}

    study, records = made_study(target="news"), {}
    while batch := study.propose(records, tmp_path):
        records |= {job.name: trained(job, selfish, 0.001) for job in batch}
    result = study.conclude(records, tmp_path)
    assert result["candidates"]["chosen"]["weights"]["news"] > 0.9
    assert result["candidates"]["chosen"]["check"]["mean"] == pytest.approx(3.0, abs=0.06)
    assert any("news at the bound" in words for words in result["warnings"])


def test_an_unknown_target_is_refused_with_the_nearest(tmp_path: Path) -> None:
    study = made_study(target="new")
    records = {job.name: trained(job, bowl) for job in study.natural()}
    with pytest.raises(ValueError, match=r"study\.target: .* got 'new'; the nearest are news"):
        study.propose(records, tmp_path)


def test_noise_is_the_seeds_and_the_ceiling_follows() -> None:
    rows = [{"role": "natural", "target": t} for t in (3.0, 3.2)]
    rows += [{"role": "fit", "target": t} for t in (2.0, 2.4)]
    rows += [{"role": "held_out", "target": t} for t in (2.2, None)]
    found = noise(rows)
    assert found["sd"] == pytest.approx(0.02**0.5)
    assert found["spread"] == pytest.approx(0.2)
    assert found["ceiling"] == pytest.approx(0.5**0.5)
    assert noise(rows[:1])["ceiling"] is None


def test_a_late_prediction_says_so(tmp_path: Path) -> None:
    study = made_study()
    _, records, _ = run(study, tmp_path)
    (tmp_path / "prediction.json").unlink()
    result = study.conclude(records, tmp_path)
    assert not result["predicted_before_check"]
    assert any("already trained" in words for words in result["warnings"])


def test_lost_proxies_are_left_out_and_too_many_leave_nothing(tmp_path: Path) -> None:
    study = made_study()
    _, records, _ = run(study, tmp_path)

    def lose(names: list[str]) -> dict[str, Record]:
        jobs = {job.name: job for job in study.plan()}
        gone = {
            name: made_record(dataclasses.replace(jobs[name]), None, data=records[name].data)
            for name in names
        }
        return records | gone

    some = study.conclude(lose(["fit-001", "held-002"]), tmp_path)
    assert len(some["held_out"]) == 19
    assert "fit-001 was left out: diverged at step 7" in some["warnings"]
    all_held = lose([f"held-{i:03d}" for i in range(1, 14)])
    nothing = study.conclude(all_held, tmp_path)
    assert nothing["candidates"] == {}
    assert any("nothing was predicted" in words for words in nothing["warnings"])
    checks = {job.name for job in study.checks(None)}
    small = {name: record for name, record in all_held.items() if name not in checks}
    assert study.propose(small, tmp_path) == []


def test_nothing_trained_is_reported(tmp_path: Path) -> None:
    result = made_study().conclude({}, tmp_path)
    assert result["tokens"] == {}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proxies": 2}, r"study\.proxies: expected at least 3, got 2"),
        ({"held_out": 7}, r"study\.held_out: expected at least 8, got 7"),
        ({"noise_seeds": 0}, r"study\.noise_seeds: expected at least 1, got 0"),
        ({"check_width": 16}, r"study\.check_width must lie beyond .*=16; got 16"),
        ({"seeds": 0}, r"study\.seeds .* at least 1; got 0"),
    ],
)
def test_what_could_not_be_compared_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
