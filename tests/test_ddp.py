from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning.fabric.strategies.launchers.subprocess_script as fabric
import lightning.pytorch.strategies.launchers.subprocess_script as pytorch
import pytest

from windtunnel import ddp

ROOT = Path(__file__).parents[1]


def test_a_further_process_does_this_job_alone_in_this_folder() -> None:
    command = ddp.rank_command("train.py", ["+recipe=r", "seed=2"], Path("/a b/c"), 1)
    assert command[1:4] == ["train.py", "+recipe=r", "seed=2"]
    assert set(command[4:]) == {
        "hydra.run.dir='/a b/c'",
        "hydra.job.name=rank1",
        "hydra.output_subdir=null",
        "hydra.mode=RUN",
    }


def test_both_launchers_of_lightning_are_replaced_and_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fabric._hydra_subprocess_cmd, pytorch._hydra_subprocess_cmd
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ddp.relaunched("train.py", ["seed=2"], Path("/job"), "/home"):
        for module in (fabric, pytorch):
            command, cwd = module._hydra_subprocess_cmd(local_rank=1)
            assert (command[1:3], cwd) == (["train.py", "seed=2"], "/home")
        os.environ.update(MASTER_PORT="2", WORLD_SIZE="2")
    assert (fabric._hydra_subprocess_cmd, pytorch._hydra_subprocess_cmd) == before
    assert os.environ["MASTER_PORT"] == "1"
    assert "WORLD_SIZE" not in os.environ


@pytest.mark.parametrize(("n_tasks", "expected"), [("1", 1), ("2", 0), (None, 0)])
def test_one_task_of_slurm_starts_the_other_processes_itself(
    monkeypatch: pytest.MonkeyPatch, n_tasks: str | None, expected: int
) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if n_tasks is not None:
        monkeypatch.setenv("SLURM_NTASKS", n_tasks)
    found = ddp.environment()
    assert len(found) == expected
    assert not any(each.creates_processes_externally for each in found)


def test_another_lightning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fabric, "_hydra_subprocess_cmd")
    with (
        pytest.raises(ValueError, match=r"expected lightning\S*_hydra_subprocess_cmd"),
        ddp.relaunched("train.py", [], Path("/job"), "/home"),
    ):
        pass


APP = """
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    import lightning as L
    import torch
    from lightning.pytorch.demos.boring_classes import BoringModel

    from windtunnel import ddp

    about = HydraConfig.get()
    home = Path(about.runtime.output_dir)
    with ddp.relaunched(__file__, about.overrides.task, home, about.runtime.cwd):
        trainer = L.Trainer(
            accelerator="cpu", devices=2, strategy="ddp", max_steps=2, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )
        trainer.fit(BoringModel())
        assert trainer.world_size == 2
        (home / f"rank{trainer.global_rank}").write_text(str(cfg.seed))


if __name__ == "__main__":
    main()
"""


LAUNCHERS = ("process", "joblib", "submitit_local")
FAILING = """
import lightning as L
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from train import reported
from windtunnel import ddp


class FullDisk(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.is_global_zero and trainer.global_step == 2:
            raise ValueError("the disk is full")


with reported([]):
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=99, logger=False,
        callbacks=[FullDisk()], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    with ddp.ended_together(trainer):
        trainer.fit(BoringModel())
"""


@pytest.mark.faults
@pytest.mark.slow
def test_a_job_on_two_processes_ends_with_the_error_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FAILING)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "app.py"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()  # ends when both processes have closed it
        assert process.wait(timeout=300) == 2
    assert said.splitlines()[-1] == "the disk is full"
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=basic"],
        *([f"hydra/launcher={name}", "hydra.launcher.prepare=builtins.id"] for name in LAUNCHERS),
    ],
    ids=["basic", *LAUNCHERS],
)
def test_a_sweep_over_jobs_on_two_processes_keeps_each_job_to_its_folder(
    tmp_path: Path, launcher: list[str]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    conf = f"hydra.searchpath=[file://{ROOT}/tests/plugins/fake/conf]"
    command = [sys.executable, "app.py", "-m", "+seed=1,2", "hydra.sweep.dir=sweep"]
    command += [conf, *launcher]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=900)
    ranks = sorted(tmp_path.rglob("rank[01]"))
    assert [(p.parent.name, p.name, p.read_text()) for p in ranks] == [
        ("0", "rank0", "1"),
        ("0", "rank1", "1"),
        ("1", "rank0", "2"),
        ("1", "rank1", "2"),
    ]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["sweep"]
