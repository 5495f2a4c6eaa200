"""Every recipe composes and trains two steps."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from windtunnel.config import RECIPES, compose, job_digest, study_digest

NAMES = sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml"))


def test_there_are_recipes() -> None:
    assert {"quickstart", "mu_scaling", "mu_transfer", "coordinate_check"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_smoke(tmp_path: Path, name: str) -> None:
    from windtunnel.run import run

    small = [
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
