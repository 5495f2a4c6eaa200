from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made import VOCABULARY, Kept, made_records
from windtunnel.interfaces import Curve, Job
from windtunnel.studies.lr_sensitivity import LRSensitivity, summarise

LRS = [2.0**k for k in (-8, -6, -4, -2)]
LOSS_0 = math.log(VOCABULARY)
STEEPNESS = {"plain": 0.05, "calm": 0.02}


def made_study(**changes: Any) -> LRSensitivity:
    values: dict[str, Any] = {
        "interventions": {"plain": {}, "calm": {"model.attention.qk_norm": True}},
        "reference": "plain",
        "lrs": LRS,
        "widths": [16, 32],
        "seeds": 2,
        "n_convention": "non_embedding",
        "flops_convention": "kaplan",
        "report": Kept(),
    }
    return LRSensitivity(**(values | changes))


def truth(job: Job) -> float:
    """A parabola in log2 lr, lowest at 2^-4, steeper when wider; a seed moves all of it."""
    away = math.log2(job.overrides["optim.lr"]) + 4
    steep = STEEPNESS[job.role] * job.overrides["model.width"] / 16
    return 3 + steep * away**2 * job.overrides["seed"]


def conclude(loss: Callable[[Job], float | None], folder: Path, **changes: Any) -> dict[str, Any]:
    study = made_study(**changes)
    return study.conclude(made_records(study.plan(), loss), folder)


def test_the_paper_s_mean_is_found() -> None:
    """Losses 3.5, 3.0, 2.5, 3.0, 9.0 and 5 before training: 0.9."""
    losses = (3.5, 3.0, 2.5, 3.0, 9.0)
    rows = [
        {"lr": 2.0**i, "seed": 1, "loss": loss, "outcome": "finished"}
        for i, loss in enumerate(losses)
    ]
    found = summarise(rows, 5.0)
    assert found["sensitivity"] == pytest.approx(0.9)
    assert (found["best_lr"], found["on_edge"], found["sd"]) == (4.0, False, None)
    rows[-1] |= {"loss": None, "outcome": "diverged"}
    assert summarise(rows, 5.0)["sensitivity"] == pytest.approx(0.9)
    assert summarise(rows, None)["sensitivity"] is None


def test_every_intervention_gets_the_same_grid(tmp_path: Path) -> None:
    batch = made_study().propose({}, tmp_path)
    assert len(batch) == len({job.name for job in batch}) == 2 * 2 * 4 * 2
    cells = {
        name: {
            tuple(job.overrides[k] for k in ("model.width", "optim.lr", "seed"))
            for job in batch
            if job.role == name
        }
        for name in ("plain", "calm")
    }
    assert cells["plain"] == cells["calm"]
    assert {job.overrides.get("model.attention.qk_norm") for job in batch} == {None, True}
    study = made_study()
    assert study.propose(made_records(batch[1:], truth), tmp_path) == [batch[0]]


def test_sensitivities_have_the_spread_of_their_seeds(tmp_path: Path) -> None:
    result = conclude(truth, tmp_path)
    for name, steep in STEEPNESS.items():
        for width in (16, 32):
            own = result["interventions"][name]["widths"][str(width)]
            per_seed = [steep * width / 16 * (16 + 4 + 0 + 4) / 4 * seed for seed in (1, 2)]
            assert own["sensitivity"] == pytest.approx(sum(per_seed) / 2)
            assert own["sd"] == pytest.approx((per_seed[1] - per_seed[0]) / math.sqrt(2))
            assert own["best_lr"] == 2.0**-4
    assert result["decades"] == pytest.approx(6 * math.log10(2))
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_what_diverged_counts_as_untrained(tmp_path: Path) -> None:
    def loss(job: Job) -> float | None:
        return None if job.role == "plain" and job.overrides["optim.lr"] == 0.25 else 3.0

    own = conclude(loss, tmp_path)["interventions"]["plain"]["widths"]["16"]
    assert own["sensitivity"] == pytest.approx((LOSS_0 - 3) / 4)
    assert own["n_lost"] == [0, 0, 0, 2]
    assert own["losses"][-1] is None


def test_the_loss_before_training_is_that_of_the_reference(tmp_path: Path) -> None:
    study = made_study()
    records = made_records(study.plan(), truth)
    for name, record in records.items():
        if name.startswith("calm"):
            records[name] = dataclasses.replace(record, train_curve=Curve([1], [99.0]))
    assert study.conclude(records, tmp_path)["loss_before_training"] == pytest.approx(LOSS_0)


def test_a_seed_without_all_its_rates_is_not_counted(tmp_path: Path) -> None:
    study = made_study()
    records = made_records(study.plan(), truth)
    del records["plain-w16-lr-4.00-s2"]
    own = study.conclude(records, tmp_path)["interventions"]["plain"]["widths"]["16"]
    assert own["seeds"] == 1
    assert own["sensitivity"] == pytest.approx(0.3)


def test_edges_and_what_never_trained_are_said(tmp_path: Path) -> None:
    def loss(job: Job) -> float | None:
        return None if job.role == "calm" else 5 - math.log2(job.overrides["optim.lr"])

    warnings = conclude(loss, tmp_path)["warnings"]
    assert "plain, width 32: the best learning rate lies on the edge of the grid" in warnings
    assert "calm, width 16: no learning rate gave a loss" in warnings
    assert json.dumps(made_study().conclude({}, tmp_path), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lrs": [0.1, 0.2]}, r"study\.lrs must hold at least 3"),
        ({"lrs": [0.1, 0.2, 0.3]}, r"study\.lrs must be equally spaced in their logarithm"),
        ({"widths": []}, r"study\.widths must hold at least 1"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"reference": "other"}, r"study\.reference must be one of .*plain, calm; got other"),
        ({"interventions": {"plain": {"optim.lr": 1}}}, r"plain: optim\.lr is set by the study"),
    ],
)
def test_what_is_no_mean_over_decades_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
