from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_records
from windtunnel.interfaces import Job
from windtunnel.studies.transfer import Transfer, parabola, sensitivity

LRS = [2.0**-k for k in range(11, 4, -1)]


def made_transfer(**changes: Any) -> Transfer:
    values: dict[str, Any] = {
        "lrs": LRS,
        "widths": [32, 64, 128, 256],
        "base_width": 32,
        "seeds": 2,
        "control": "standard",
        "n_convention": "total",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return Transfer(**(values | changes))


def bowl(
    main: Callable[[float], float], control: Callable[[float], float], sd: float = 0.001
) -> Callable[[Job], float]:
    """Losses on parabolas whose best log2 rate is a function of the doublings of the width."""
    rng = random.Random(0)

    def loss(job: Job) -> float:
        doublings = math.log2(job.overrides["model.width"] / 32)
        best = (main if job.role == "main" else control)(doublings)
        return 3 - 0.1 * doublings + 0.05 * (math.log2(job.overrides["optim.lr"]) - best) ** 2 + (
            rng.gauss(0, sd))  # fmt: skip

    return loss


def conclude(transfer: Transfer, loss: Callable[[Job], float | None], folder: Path) -> Any:
    return transfer.conclude(made_records(transfer.plan(), loss), folder)


def test_the_issues_sensitivity() -> None:
    assert sensitivity((3.5, 3.0, 2.5, 3.0, 9.0), 5.0) == pytest.approx(0.9)
    assert sensitivity((3.5, 3.0, 2.5, 3.0, None), 5.0) == pytest.approx(0.9)


@pytest.mark.parametrize("best", [-0.45, 0.0, 0.3])
@pytest.mark.parametrize("x", [(-1.0, 0.0, 1.0), (-1.5, 0.0, 0.7)])
def test_the_vertex_of_a_parabola_is_found(best: float, x: tuple[float, ...]) -> None:
    found = parabola([(a, 2 + 0.3 * (a - best) ** 2) for a in x])
    assert found == pytest.approx((best, 2.0))


def test_a_flat_bottom_keeps_its_middle() -> None:
    assert parabola([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]) == (1.0, 1.0)


def test_all_jobs_are_one_batch(tmp_path: Path) -> None:
    transfer = made_transfer()
    plan = transfer.propose({}, tmp_path)
    assert len(plan) == len({job.name for job in plan}) == 2 * 4 * 7 * 2
    control = [job for job in plan if "parametrization" in job.overrides]
    assert len(control) == len(plan) / 2
    assert {job.overrides["parametrization"] for job in control} == {"standard"}
    records = made_records(plan[5:], lambda job: 3.0)
    assert transfer.propose(records, tmp_path) == plan[:5]
    assert len(made_transfer(control=None).plan()) == 4 * 7 * 2


def test_transfer_is_told_from_its_control(tmp_path: Path) -> None:
    result = conclude(made_transfer(), bowl(lambda d: -7.1, lambda d: -6.2 - 0.9 * d), tmp_path)
    main, control = result["arms"]["main"], result["arms"]["control"]
    assert main["moved"] < 0.1
    assert control["moved"] == pytest.approx(2.7, abs=0.1)
    assert main["widths"]["256"]["log2_lr"] == pytest.approx(-7.1, abs=0.03)
    assert main["widths"]["256"]["best_lr"] == 2.0**-7
    assert control["widths"]["256"]["shift_steps"] == pytest.approx(-2.7, abs=0.1)
    assert result["verdict"]["words"].startswith("the best learning rate transfers, and under")
    assert set(result["verdict"]["checks"].values()) == {True}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_control_that_stays_makes_it_inconclusive(tmp_path: Path) -> None:
    result = conclude(made_transfer(), bowl(lambda d: -7.1, lambda d: -7 - 0.3 * d), tmp_path)
    assert result["verdict"]["words"].startswith("inconclusive")
    assert not result["verdict"]["checks"]["control moves at least two factors of 2"]


def test_a_best_rate_that_moves_does_not_transfer(tmp_path: Path) -> None:
    result = conclude(made_transfer(), bowl(lambda d: -6.5 - 0.7 * d, lambda d: -7 - d), tmp_path)
    assert "does not transfer" in result["verdict"]["words"]


def test_the_base_rate_must_cost_no_more_than_seed_noise(tmp_path: Path) -> None:
    result = conclude(made_transfer(), bowl(lambda d: -7.3 - 0.25 * d, lambda d: -6 - d), tmp_path)
    widest = result["arms"]["main"]["widths"]["256"]
    assert widest["excess"] == pytest.approx(0.05 * (1.05**2 - 0.05**2), abs=0.004)
    sd = result["arms"]["main"]["seed_sd"]
    assert widest["excess_sds"] == pytest.approx(widest["excess"] / sd)
    assert widest["excess_sds"] > 2
    assert "costs more than seed noise" in result["verdict"]["words"]


def test_a_minimum_on_the_edge_decides_nothing(tmp_path: Path) -> None:
    result = conclude(made_transfer(), bowl(lambda d: -4.0, lambda d: -6 - d), tmp_path)
    assert result["verdict"]["words"].startswith("undecided")
    assert any("edge of the grid" in words for words in result["warnings"])
    assert result["arms"]["main"]["widths"]["32"]["log2_lr"] == -5


def test_one_seed_cannot_judge_the_cost(tmp_path: Path) -> None:
    loss = bowl(lambda d: -7.1, lambda d: -6.2 - 0.9 * d)
    result = conclude(made_transfer(seeds=1), loss, tmp_path)
    assert "needs two seeds" in result["verdict"]["words"]
    assert result["arms"]["main"]["seed_sd"] is None


def test_no_control_is_said(tmp_path: Path) -> None:
    result = conclude(made_transfer(control=None), bowl(lambda d: -7.1, lambda d: 0), tmp_path)
    assert "no control was run" in result["verdict"]["words"]


def test_diverged_rates_are_no_candidates_and_are_named(tmp_path: Path) -> None:
    usual = bowl(lambda d: -7.1, lambda d: -6.2 - 0.9 * d)

    def loss(job: Job) -> float | None:
        return None if job.overrides["optim.lr"] > 2.0**-6 and job.name.endswith("s1") else (
            usual(job))  # fmt: skip

    result = conclude(made_transfer(), loss, tmp_path)
    curve = result["arms"]["main"]["widths"]["32"]
    assert curve["losses"][-1] is None
    assert curve["log2_lr"] == pytest.approx(-7.1, abs=0.03)
    assert "main, width 32: diverged at learning rate (runs): 2^-5 (1)" in result["warnings"]
    # The last rate counts as untrained: log(1024) against a best of about 3.
    assert curve["sensitivity"] > (math.log(1024) - 3.01) / 7


@pytest.mark.parametrize("lost", [2.0**-5, 2.0**-7])
def test_a_minimum_beside_a_diverged_rate_is_not_smoothed(lost: float, tmp_path: Path) -> None:
    usual = bowl(lambda d: -6.1, lambda d: -6.2 - 0.9 * d)
    result = conclude(
        made_transfer(),
        lambda job: None if job.overrides["optim.lr"] == lost else usual(job),
        tmp_path,
    )
    curve = result["arms"]["main"]["widths"]["32"]
    assert curve["log2_lr"] == -6
    assert not curve["on_edge"]


def test_a_width_where_all_diverged_is_said(tmp_path: Path) -> None:
    usual = bowl(lambda d: -7.1, lambda d: -6.2 - 0.9 * d)
    result = conclude(
        made_transfer(),
        lambda job: None if job.overrides["model.width"] == 32 else usual(job),
        tmp_path,
    )
    assert "width 32: no learning rate gave a loss" in result["warnings"]
    assert result["verdict"]["checks"]["base rate costs at most two seed standard deviations"] is (
        False
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrs": [0.01, 0.02]}, r"study\.lrs must hold at least 3"),
        ({"lrs": [0.01, 0.01, 0.02]}, r"study\.lrs must hold different values"),
        ({"widths": [32]}, r"study\.widths must hold at least 2"),
        ({"base_width": 48}, r"study\.base_width must be one of study\.widths.*got 48"),
    ],
)
def test_a_grid_that_could_show_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_transfer(**changes)
