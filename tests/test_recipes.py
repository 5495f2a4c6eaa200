"""Every recipe composes and trains two steps."""

from __future__ import annotations

import json
import math
import shutil
import sysconfig
from pathlib import Path

import pytest

from windtunnel import guards
from windtunnel.config import RECIPES, compose, job_digest, plain, study_digest

NAMES = sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml"))


def test_there_are_recipes() -> None:
    assert {"quickstart", "mu_scaling", "mu_transfer", "coordinate_check"} <= set(NAMES)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few files of the standard library, with all of its domains that recipes name."""
    folder, whole = tmp_path_factory.mktemp("library"), Path(sysconfig.get_paths()["stdlib"])
    for name in ("email", "json", "logging", "pydoc_data"):
        shutil.copytree(whole / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(whole / "unittest", folder / "test")
    for file in whole.glob("[a-d]*.py"):
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_smoke(tmp_path: Path, name: str, library: Path) -> None:
    from windtunnel.run import run

    sources = [
        key.removesuffix("_target_")
        for key, value in guards.leaves(plain(compose(name)))
        if key.startswith("data.") and str(value).endswith("StandardLibrary")
    ]
    small = [
        *(f"{source}folder={library}" for source in sources),
        f"paths.outputs={tmp_path}",
        "budget.evaluations=1",
        "data.eval_tokens=2000",
        "schedule.warmup_tokens=0",
        "trainer.compile=false",
        "trainer.progress=false",
    ]
    given = compose(name, small)
    small.append(f"budget.tokens={2 * given.batch.sequences * given.batch.length}")
    if "vocab_size" in given.tokenizer:
        small.append("tokenizer.vocab_size=512")  # so that all of them share one token store
    cfg = compose(name, small)
    loss = run(cfg, tmp_path / "job")
    assert math.isfinite(loss) or cfg.task == "score"
    assert (tmp_path / "job" / "record.json").exists()


MEASURED = [name for name in NAMES if (RECIPES / name / "results.json").exists()]


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_is_the_committed_recipe(name: str) -> None:
    """Results that an older version of the recipe gave must be measured again."""
    results = json.loads((RECIPES / name / "results.json").read_text())
    cfg = compose(name)
    digest = study_digest if cfg.study else job_digest
    assert results["recipe"] == name
    assert results["recipe_digest"] == digest(cfg)
    readme = (RECIPES / name / "README.md").read_text()
    assert results["command"] in readme
