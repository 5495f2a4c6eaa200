from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_records, sizes
from windtunnel.interfaces import Job
from windtunnel.studies.joint import Joint
from windtunnel.studies.method import Method

METHOD = Method("least_squares", None, "profile", 0.95, 100, 0)
E = 1.9


def made_joint(**changes: Any) -> Joint:
    values: dict[str, Any] = {
        "widths": [16, 32, 64, 128],
        "budgets": [250_000, 500_000, 1_000_000, 2_000_000],
        "seeds": 1,
        "method": METHOD,
        "n_convention": "total",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return Joint(**(values | changes))


def noisy(sd: float) -> Callable[[Job], float]:
    rng = random.Random(0)

    def loss(job: Job) -> float:
        n, d = sizes(job.overrides["model.width"])["total"], job.overrides["budget.tokens"]
        return E + 60 * n**-0.6 + 900 * d**-0.6 + rng.gauss(0, sd)

    return loss


def conclude(joint: Joint, loss: Callable[[Job], float | None], folder: Path, **data: Any) -> Any:
    return joint.conclude(made_records(joint.plan(), loss, data=data), folder)


def test_every_budget_is_a_run_of_its_own(tmp_path: Path) -> None:
    plan = made_joint(seeds=2).propose({}, tmp_path)
    assert len(plan) == len({job.name for job in plan}) == 32
    assert {job.overrides["budget.tokens"] for job in plan} == {250_000, 500_000, 10**6, 2 * 10**6}


def test_the_constant_is_the_entropy_rate(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(0.002), tmp_path, entropy_rate_nats=E)
    assert result["constant"]["value"] == pytest.approx(E, abs=0.02)
    assert result["truth"] == E
    assert result["checks"] == {
        "interval contains the entropy rate": True,
        "interval excludes one 5 % higher": True,
    }
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_constant_at_fixed_tokens_lies_higher_by_what_the_data_leaves(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(1e-7), tmp_path)
    for tokens, constant in result["fixed"].items():
        assert constant["value"] == pytest.approx(E + 900 * int(tokens) ** -0.6, rel=1e-3)
    assert list(result["fixed"]) == ["250000", "500000", "1000000", "2000000"]
    words = result["why_fixed_is_higher"]
    assert "at 2,000,000 tokens" in words
    assert "B / D^beta" in words
    assert result["checks"] == {}
    assert result["truth"] is None


def test_a_wide_interval_excludes_nothing(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(0.05), tmp_path, entropy_rate_nats=E)
    assert not result["checks"]["interval excludes one 5 % higher"]


def test_a_wrong_entropy_rate_is_noticed(tmp_path: Path) -> None:
    result = conclude(made_joint(), noisy(0.002), tmp_path, entropy_rate_nats=2.0)
    assert not result["checks"]["interval contains the entropy rate"]


def test_diverged_runs_are_left_out_and_named(tmp_path: Path) -> None:
    usual = noisy(0.001)
    result = conclude(
        made_joint(), lambda job: None if job.name == "w64-d500000-s1" else usual(job), tmp_path
    )
    assert result["constant"]["value"] == pytest.approx(E, abs=0.02)
    assert "500000" not in result["fixed"]
    assert "w64-d500000-s1 was left out: diverged at step 7" in result["warnings"]


def test_too_few_runs_is_said(tmp_path: Path) -> None:
    usual = noisy(0.001)
    result = conclude(
        made_joint(),
        lambda job: None if job.overrides["model.width"] > 16 else usual(job),
        tmp_path,
    )
    assert result["parameters"] is None
    assert any("nothing was fitted: 4 sizes and budgets" in words for words in result["warnings"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [16, 32, 64]}, r"study\.widths must hold at least 4"),
        ({"budgets": [1, 2]}, r"study\.budgets must hold at least 3"),
    ],
)
def test_a_grid_that_could_show_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_joint(**changes)
