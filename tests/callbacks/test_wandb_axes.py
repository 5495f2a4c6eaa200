from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import WandbLogger

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel.callbacks.scaling_log import ScalingLog
from windtunnel.callbacks.wandb_axes import WandbAxes

pytestmark = QUIET


class Averaged(L.Callback):
    """Logs as an average of the weights does."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("eval_averaged/loss", 1.0)


class Run:
    """Stands in for a W&B run."""

    id = "x"

    def __init__(self) -> None:
        self.defined: dict[str, Any] = {}

    def define_metric(self, name: str, **settings: Any) -> None:
        self.defined[name] = settings

    def log(self, values: dict[str, float]) -> None:
        pass


def test_each_metric_has_its_axis_by_name(tmp_path: Path) -> None:
    facts, run = make_facts(tmp_path), Run()
    trainer = make_trainer(
        [ScalingLog(facts), Averaged(), WandbAxes(facts, flops="palm")],
        logger=WandbLogger(experiment=run, save_dir=tmp_path),
        enable_checkpointing=False,
    )
    trainer.fit(TinyModule(), TinyData())
    tokens = {"step_metric": "scale/D", "step_sync": True}
    flops = {"step_metric": "scale/C/palm", "step_sync": True}
    assert run.defined == {
        "scale/D": {},
        "scale/C/palm": {},
        "train/loss": tokens,
        "train/grad_norm": tokens,
        "eval/loss": flops,
        "eval_averaged/loss": flops,
    }


def test_does_nothing_without_wandb(tmp_path: Path) -> None:
    axes = WandbAxes(make_facts(tmp_path), flops="palm")
    make_trainer([axes], enable_checkpointing=False).fit(TinyModule(), TinyData())
    assert axes._defined == set()


def test_unknown_convention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of kaplan, palm, got 'chinchilla'"):
        WandbAxes(make_facts(tmp_path), flops="chinchilla")
