from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers.logger import DummyLogger

from tests.callbacks.tiny import (
    QUIET,
    TOKENS_PER_STEP,
    TinyData,
    TinyModule,
    make_facts,
    make_trainer,
)
from windtunnel.callbacks.scaling_log import ScalingLog

pytestmark = QUIET


class Rows(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append({"step": step, **metrics})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_loss_has_its_place_and_every_logger_gets_it(tmp_path: Path, accumulate: int) -> None:
    facts, loggers = make_facts(tmp_path), [Rows(), Rows()]
    trainer = make_trainer(
        [ScalingLog(facts)],
        logger=loggers,
        evaluate_every=10 * accumulate,
        accumulate_grad_batches=accumulate,
        enable_checkpointing=False,
    )
    trainer.fit(TinyModule(), TinyData())
    rows = loggers[0].rows
    assert rows == loggers[1].rows
    assert rows[0] == {"step": 0, "scale/N/total": 16.0, "scale/N/non_embedding": 12.0}
    for key, steps in {"train/loss": range(5, 41, 5), "eval/loss": range(10, 41, 10)}.items():
        placed = [row for row in rows if key in row]
        assert [row["scale/D"] for row in placed] == [TOKENS_PER_STEP * i for i in steps]
        for row in placed:
            assert row["scale/C/kaplan"] == 72.0 * row["scale/D"]
            assert row["scale/C/palm"] == 96.0 * row["scale/D"]


def test_large_counts_are_not_rounded(tmp_path: Path) -> None:
    tokens = 2**24 + 1
    facts, logger = make_facts(tmp_path, tokens_per_step=tokens), Rows()
    trainer = make_trainer(
        [ScalingLog(facts)], steps=1, evaluate_every=1, logger=logger, log_every_n_steps=1,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(TinyModule(), TinyData())
    assert [row["scale/D"] for row in logger.rows if "scale/D" in row] == [tokens, tokens]
