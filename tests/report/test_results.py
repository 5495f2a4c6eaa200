from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from tests.made import made_record, made_records
from tests.studies.test_ladder import made_ladder, noisy, run
from windtunnel.interfaces import Job
from windtunnel.report.results import of_jobs, publish, rounded


def made_study(folder: Path) -> dict[str, Any]:
    ladder = made_ladder(seeds=2)
    result, _, _ = run(ladder, noisy(0.003), folder)
    result = {"name": "mu_scaling", "code": [], "missing": [], **result}
    (folder / "study.json").write_text(json.dumps(result))
    (folder / "figure.png").write_bytes(b"figure")
    for name, record in made_records(ladder.plan(), lambda job: 3.0, git={"commit": "abc"}).items():
        (folder / name).mkdir()
        record.save(folder / name)
    return result


def test_a_study_is_published_with_its_numbers_and_figure(tmp_path: Path) -> None:
    study, recipe = tmp_path / "study", tmp_path / "mu_scaling"
    study.mkdir()
    recipe.mkdir()
    result = made_study(study)
    path = publish(recipe, [study], {"recipe": "mu_scaling", "digest": "0123456789ab"})
    written = json.loads(path.read_text())
    assert path == recipe / "results.json"
    assert (written["recipe"], written["digest"], written["seeds"]) == (
        "mu_scaling", "0123456789ab", 2)  # fmt: skip
    measured = written["measured"]
    assert measured["error"] == pytest.approx(result["error"], rel=1e-5)
    assert measured["per_seed"]["2"]["inside"] == result["per_seed"]["2"]["inside"]
    assert "band" not in measured
    assert len(written["jobs"]) == 14
    assert set(written["jobs"][0]) == {"job", "role", "width", "seed", "n", "loss", "seconds",
                                       "outcome"}  # fmt: skip
    assert written["git"] == {"commit": "abc"}
    assert (recipe / "figure.png").read_bytes() == b"figure"


def test_seeds_of_a_job_are_published_with_their_spread(tmp_path: Path) -> None:
    losses, folders = [3.1, 3.0, 3.3], []
    for seed, loss in enumerate(losses, start=1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made_record(Job("", "", {"model.width": 64, "seed": seed}), loss).save(folder)
        folders.append(folder)
    recipe = tmp_path / "quickstart"
    recipe.mkdir()
    written = json.loads(publish(recipe, folders, {"recipe": "quickstart"}).read_text())
    assert written["seeds"] == 3
    found = written["measured"]["loss"]
    assert found["mean"] == pytest.approx(statistics.mean(losses), rel=1e-5)
    assert found["sd"] == pytest.approx(statistics.stdev(losses), rel=1e-5)
    one = json.loads(publish(recipe, folders[:1], {}).read_text())
    assert one["measured"]["loss"] == {"mean": 3.1, "sd": None}


def test_a_diverged_job_has_no_mean(tmp_path: Path) -> None:
    made_record(Job("", "", {"model.width": 64, "seed": 1}), None).save(tmp_path)
    written = json.loads(publish(tmp_path, [tmp_path], {}).read_text())
    assert written["measured"]["loss"] == {"mean": None, "sd": None}
    assert written["jobs"][0]["outcome"] == "diverged"


def test_scores_are_published_without_the_place_of_their_files(tmp_path: Path) -> None:
    column = {"mean": 0.123456789, "domains": {"prose": 0.5}}
    scores = {"files": ["/home/me/x.parquet"], "n_documents": 7, "columns": {"length": column}}
    job = Job("", "", {"model.width": 64, "seed": 1})
    made_record(job, None, task="score", measurements={"score": scores}).save(tmp_path)
    found = of_jobs([tmp_path])["measured"]
    assert found["n_documents"] == 7
    assert found["columns"]["length"] == {"mean": 0.123457, "domains": {"prose": 0.5}}
    assert found["seconds"] > 0
    assert "loss" not in found
    assert "files" not in found


def test_numbers_are_short_and_json() -> None:
    assert rounded({"a": [1.23456789, 3, "x", None], "band": [1], "b": float("inf")}) == {
        "a": [1.23457, 3, "x", None], "b": None}  # fmt: skip


def test_what_cannot_be_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder: give the folder of a recipe"):
        publish(tmp_path / "nowhere", [tmp_path], {})
    with pytest.raises(ValueError, match=r"holds no study\.json.*run the study to its end"):
        publish(tmp_path, [tmp_path], {})
    with pytest.raises(ValueError, match="got 2 folders"):
        publish(tmp_path, [tmp_path, tmp_path], {})
