"""Every recipe composes and trains two steps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from windtunnel.config import RECIPES, compose

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
    batch = compose(name, small).batch
    cfg = compose(name, [*small, f"budget.tokens={2 * batch.sequences * batch.length}"])
    loss = run(cfg, tmp_path / "job")
    assert math.isfinite(loss)
    assert (tmp_path / "job" / "record.json").exists()
