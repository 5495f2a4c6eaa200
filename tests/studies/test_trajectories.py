from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept
from tests.studies.armed import SERVED, TRAIN_TOKENS, arm_of, loss_of, made_arms, run, scored
from windtunnel.studies.trajectories import Trajectories

FILES = ["/a/trajectory_step1.parquet", "/a/trajectory_step9.parquet"]


def made_trajectories(**changes: Any) -> Trajectories:
    values: dict[str, Any] = {
        "proxy": {"model.width": 8},
        "checkpoints": [100, 200],
        "first_tokens": 64,
        "fraction": 0.2,
        "n_clusters": 20,
        "arms": made_arms(),
        "report": Kept(),
    }
    return Trajectories(**(values | changes))


def concluded(folder: Path, loss: Any = None) -> Any:
    measured = {"trajectories": scored(FILES, TRAIN_TOKENS)}
    loss = loss or loss_of({"clusters": 0.1, "domains": 0.04}, 0.002)
    return run(made_trajectories(), loss, folder, measured)


def test_a_proxy_that_keeps_checkpoints_scores_all_documents(tmp_path: Path) -> None:
    _, _, batches = concluded(tmp_path)
    (proxy,), (scores,) = batches[:2]
    assert proxy.overrides == {
        "model.width": 8,
        "callbacks": "keep_checkpoints",
        "callbacks.keep.tokens": [100, 200],
        "sampler": "uniform",
    }
    assert scores.overrides == {
        "task": "score",
        "scorer": "trajectory",
        "scorer.folder": str(tmp_path / "proxy"),
        "scorer.first_tokens": 64,
    }


def test_the_random_choice_has_as_many_tokens_as_the_clusters(tmp_path: Path) -> None:
    _, _, batches = concluded(tmp_path)
    assert [len(batch) for batch in batches[2:]] == [3 * 3 * 2, 3 * 2, 4 * 3]
    assert {arm_of(job) for job in batches[3]} == {"random"}
    own = {arm_of(job): dict(job.overrides) for job in batches[4]}
    for overrides in own.values():
        for key in ("seed", "optim.lr"):
            overrides.pop(key)
    clusters = {
        "sampler": "clusters",
        "sampler.selection.scores": FILES,
        "sampler.selection.fraction": 0.2,
    }
    assert own == {
        "clusters": {**clusters, "sampler.selection.n_clusters": 20},
        "domains": {**clusters, "sampler.selection.n_clusters": 1},
        "random": {
            "sampler": "selection",
            "sampler/selection": "random",
            "sampler.selection.fraction": SERVED / TRAIN_TOKENS,
        },
        "everything": {"sampler": "uniform"},
    }


def test_the_conclusion_tells_clusters_from_domains(tmp_path: Path) -> None:
    result, records, _ = concluded(tmp_path)
    for arm, gain in (("clusters", 0.1), ("domains", 0.04)):
        less = result["arms"][arm]["less_control"]
        assert less["low"] < -gain < less["high"] < 0
    assert result["scores"]["files"] == FILES
    assert {line["job"] for line in result["jobs"]} == set(records) - {"proxy", "trajectories"}
    planned = {job.name for job in made_trajectories().plan()}
    assert planned == set(records) - {"trajectories"}


@pytest.mark.parametrize("lost", ["proxy", "clusters-lr-1.00-s4"])
def test_what_is_lost_is_said(tmp_path: Path, lost: str) -> None:
    loss = loss_of({}, 0.002)
    result, _, batches = concluded(tmp_path, lambda job: None if job.name == lost else loss(job))
    if lost == "proxy":
        assert len(batches) == 1
        assert result["warnings"] == ["nothing was scored, so no student was trained"]
    else:
        assert result["arms"]["clusters"]["loss"]["seeds"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 1.5}, r"study\.fraction must lie between 0 and 1; got 1\.5"),
        ({"n_clusters": 1}, r"study\.n_clusters must be at least 2; got 1"),
        ({"checkpoints": []}, r"study\.checkpoints must hold at least one .* got none"),
        ({"proxy": {"callbacks": "default"}}, r"study\.proxy: callbacks is set by the study"),
    ],
)
def test_bad_settings_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_trajectories(**changes)
