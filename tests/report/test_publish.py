from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from scripts import publish
from tests.report.test_results import made_study
from windtunnel import config

COMMITTED: dict[str, Any] = {"name": "mu_scaling", "study": {"seeds": 1}, "fresh": False}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder that was run with three seeds, and a recipe that states one."""
    monkeypatch.setattr(config, "RECIPES", tmp_path / "recipes")
    monkeypatch.setattr(config, "compose", lambda recipe: OmegaConf.create(COMMITTED))
    (tmp_path / "recipes" / "mu_scaling").mkdir(parents=True)
    folder = tmp_path / "study"
    folder.mkdir()
    made_study(folder)
    ran = COMMITTED | {"study": {"seeds": 3}, "fresh": True}
    (folder / "config.json").write_text(json.dumps(ran))
    return folder


def test_the_recipe_gets_numbers_digest_and_command(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(["mu_scaling", str(study)]) == 0
    path = Path(capsys.readouterr().out.strip())
    written = json.loads(path.read_text())
    assert path.parts[-3:] == ("recipes", "mu_scaling", "results.json")
    assert written["overrides"] == {"study.seeds": 3}
    assert written["command"] == "python train.py +recipe=mu_scaling study.seeds=3"
    assert written["recipe_digest"] == config.study_digest(COMMITTED)
    assert written["digest"] == config.study_digest(COMMITTED | {"study": {"seeds": 3}})


def test_a_folder_of_no_use_is_refused_in_words(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "study.json").unlink()
    assert publish.main(["mu_scaling", str(study)]) == 2
    assert "holds no study.json" in capsys.readouterr().err
    (study / "config.json").unlink()
    assert publish.main(["mu_scaling", str(study)]) == 2
    assert "holds no config.json" in capsys.readouterr().err
