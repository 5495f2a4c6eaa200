"""Studies whose jobs go on from one another, trained for real: every batch, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hydra_plugins.windtunnel_study_sweeper import _stages
from tests.test_run import corpus, settings
from windtunnel.config import compose
from windtunnel.run import prepare, run

__all__ = ["corpus"]
pytestmark = pytest.mark.slow


def launch(batch: Sequence[Sequence[str]], index: int, folder: Path) -> list[str]:
    """Trains the jobs of a batch one after another."""
    for overrides in batch:
        (name,) = [o.partition("=")[2] for o in overrides if o.startswith("hydra.sweep.subdir=")]
        own = [o for o in overrides if not o.startswith("hydra.")]
        run(compose(None, own), folder / name.strip("'"))
    return []


def conclusion(given: Sequence[str]) -> dict[str, Any]:
    return _stages.run_study(
        given,
        compose=lambda overrides: compose(None, overrides),
        launch=launch,
        prepare=prepare,
        conf=None,
        recipes=None,
    )


def test_branches_are_the_whole_runs(corpus: Path, tmp_path: Path) -> None:
    study = ("study=branch_decay", "study.lengths=[2048,3072,4096,5120]", "study.controls=[wsd]",
             "callbacks=keep_checkpoints")  # fmt: skip
    given = [o for o in settings(corpus, tmp_path, *study) if not o.startswith("budget.tokens")]
    result = conclusion(given)
    less = result["arms"]["whole-wsd"]["less_branch"]
    assert (less["pairs"], less["equal"], less["largest"]) == (4, 4, 0.0)
    assert result["starts"] == [1536, 2560, 3328, 4096]
    assert result["missing"] == []
    assert len(result["curves"]) == 5


def test_a_trial_that_goes_on_is_the_run_that_it_would_have_been(
    corpus: Path, tmp_path: Path
) -> None:
    trials = {f"t{i}": f"{{optim.lr: {lr}}}" for i, lr in enumerate((0.001, 0.01, 0.03))}
    study = (
        "study=successive_halving",
        "callbacks=stop_at",
        "schedule=wsd",
        "+study.trials={" + ",".join(f"{n}:{own}" for n, own in trials.items()) + "}",
        "study.rule=predicted",
        "study.pilots=[t1,t2]",
        "study.reduction=2",
        "study.rungs=[2,5,10]",
        "study.truth=true",
        "budget.evaluations=10",
    )
    result = conclusion(settings(corpus, tmp_path, *study))
    assert result["missing"] == []
    assert [len(names) for names in result["entered"]["1"]] == [3, 1, 1]
    assert all(None not in own["1"] for own in result["curves"].values())
    assert set(result["judgement"]["rules"]) == {"early_loss", "predicted", "proportional"}
    best = result["won"]["1"]
    whole = settings(corpus, tmp_path, "schedule=wsd", "budget.evaluations=10", "seed=1",
                     f"optim.lr={(0.001, 0.01, 0.03)[int(best[1])]}")  # fmt: skip
    assert run(compose(None, whole), tmp_path / "alone") == result["final"][best]["1"]
