from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made import Kept, made_record, sizes
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.studies.approaches import ENVELOPE, LAW, PARABOLAS
from windtunnel.studies.isoflop import IsoFlop
from windtunnel.studies.method import Method

# A law whose best size has N* = (C / 6)^0.5 exactly: alpha = beta and A = B.
E, A, EXPONENT = 1.5, 60.0, 0.35
BUDGETS = (1e12, 2e12, 4e12)
TARGET = 4e13
# About the best sizes on either side: a parabola is biased by a lopsided grid.
WIDTHS = (48, 64, 80, 96, 112, 128, 160, 192)


def made_study(**changes: Any) -> IsoFlop:
    values: dict[str, Any] = {
        "widths": WIDTHS,
        "budgets_flops": BUDGETS,
        "target_flops": TARGET,
        "most_tokens": 10**9,
        "warmup_tokens": 4_096,
        "sequences": 16,
        "length": 64,
        "seeds": 1,
        "method": Method("least_squares", None, "profile", 0.8, 60, 0),
        "n_convention": "total",
        "report": Kept(),
    }
    return IsoFlop(**(values | changes))


def loss(n: float, tokens: float) -> float:
    return E + A / n**EXPONENT + A / tokens**EXPONENT


def trained(job: Job, sd: float = 1e-5) -> Record:
    n, tokens = sizes(job.overrides["model.width"])["total"], job.overrides["budget.tokens"]
    at = np.geomspace(tokens / 16, tokens, 12).astype(int).tolist()
    noise = random.Random(job.name).gauss(0, sd)
    curve = Curve(at, [loss(n, t) + noise for t in at])
    return made_record(job, loss(n, tokens) + noise, eval_curve=curve)


def run(study: IsoFlop, folder: Path, sd: float = 1e-5) -> dict[str, Any]:
    records: dict[str, Record] = {}
    while batch := study.propose(records, folder):
        records |= {job.name: trained(job, sd) for job in batch}
    return study.conclude(records, folder)


def test_every_run_of_a_budget_costs_the_same(tmp_path: Path) -> None:
    study = made_study()
    probes = study.propose({}, tmp_path)
    assert [job.overrides["model.width"] for job in probes] == [48, 64, 80]
    assert {job.overrides["budget.tokens"] for job in probes} == {1024}
    records = {job.name: trained(job) for job in probes}
    assert study.sizes(records) == {w: sizes(w)["total"] for w in WIDTHS}
    grid = study.propose(records, tmp_path)
    assert len(grid) == len(WIDTHS) * len(BUDGETS)
    for (flops, job), proposed in zip(study.grid(study.sizes(records)), grid, strict=True):
        assert job == proposed
        n, tokens = sizes(job.overrides["model.width"])["total"], job.overrides["budget.tokens"]
        assert tokens % 1024 == 0
        assert 6 * n * tokens == pytest.approx(flops, abs=6 * n * 512)


def test_the_best_size_of_a_known_law_is_found(tmp_path: Path) -> None:
    result = run(made_study(), tmp_path)
    best = (TARGET / 6) ** 0.5
    found = result["approaches"]
    assert found[LAW]["exponent"] == pytest.approx(0.5, abs=0.01)
    assert found[LAW]["target"]["n"] == pytest.approx(best, rel=0.03)
    assert found[PARABOLAS]["exponent"] == pytest.approx(0.5, abs=0.05)
    assert found[PARABOLAS]["target"]["n"] == pytest.approx(best, rel=0.3)
    assert found[ENVELOPE]["exponent"] == pytest.approx(0.5, abs=0.1)
    for point in found[LAW]["points"]:
        assert point["n"] == pytest.approx((point["flops"] / 6) ** 0.5, rel=0.03)
    assert result["law"]["E"] == pytest.approx(E, rel=0.02)
    assert found[LAW]["target"]["tokens"] == pytest.approx(TARGET / 6 / found[LAW]["target"]["n"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_noise_widens_the_interval(tmp_path: Path) -> None:
    quiet = run(made_study(), tmp_path)["approaches"][LAW]["target"]
    loud = run(made_study(), tmp_path, sd=0.01)["approaches"][LAW]["target"]
    assert loud["low"] < loud["n"] < loud["high"]
    assert loud["high"] / loud["low"] > 3 * (quiet["high"] / quiet["low"] - 1) + 1


def test_runs_with_too_many_tokens_are_left_out(tmp_path: Path) -> None:
    study = made_study(most_tokens=2_500_000)
    records = {job.name: trained(job) for job in study.probes()}
    jobs = [job for _, job in study.grid(study.sizes(records))]
    assert max(job.overrides["budget.tokens"] for job in jobs) <= 2_500_000
    assert len(jobs) < len(WIDTHS) * len(BUDGETS)


def test_an_approach_that_finds_nothing_says_why(tmp_path: Path) -> None:
    """All sizes far too small for their budgets: the best is always the largest."""
    small = made_study(widths=(16, 24, 32, 48), budgets_flops=(1e13, 2e13))
    result = run(small, tmp_path)
    assert result["approaches"][PARABOLAS] is None
    assert any(words.startswith(f"approach {PARABOLAS}") for words in result["warnings"])
    assert result["approaches"][LAW] is not None


def test_without_probes_nothing_is_claimed(tmp_path: Path) -> None:
    study = made_study()
    result = study.conclude({}, tmp_path)
    assert not any(result["approaches"].values())
    assert any("probes" in words for words in result["warnings"])
    assert len(study.plan()) == 3 + len(WIDTHS) * len(BUDGETS)
    # A plan is checked before anything runs: what a budget buys is not known, and not 0.
    assert all(job.overrides.get("budget.tokens", 1) > 0 for job in study.plan())


def test_a_diverged_run_is_named(tmp_path: Path) -> None:
    study = made_study()
    records = {job.name: trained(job) for job in study.probes()}
    grid = study.propose(records, tmp_path)
    records |= {job.name: trained(job) for job in grid}
    records[grid[0].name] = dataclasses.replace(made_record(grid[0], None), parameters=sizes(48))
    result = study.conclude(records, tmp_path)
    assert any(grid[0].name in words for words in result["warnings"])
    assert result["approaches"][LAW] is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": (16, 24, 32)}, r"study\.widths"),
        ({"budgets_flops": (1e12,)}, r"study\.budgets_flops"),
        ({"target_flops": 1e12}, r"study\.target_flops must lie beyond"),
        ({"n_convention": "all"}, r"study\.n_convention"),
        ({"seeds": 0}, r"study\.seeds"),
    ],
)
def test_a_grid_without_an_optimum_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"most_tokens": 100_000}, r"leave \d widths with at most study\.most_tokens"),
        ({"warmup_tokens": 10**8}, r"the warm-up takes 100000000"),
    ],
)
def test_a_budget_that_buys_too_little_is_refused_after_the_probes(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    study = made_study(**changes)
    records = {job.name: trained(job) for job in study.probes()}
    with pytest.raises(ValueError, match=words):
        study.propose(records, tmp_path)
