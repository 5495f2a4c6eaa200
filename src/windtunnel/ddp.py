"""Several devices under Hydra: how the further processes of a job start, and how they end.

Lightning runs `sys.argv` again for every rank above 0. Under a sweep that would start the whole
sweep again, and under a launcher `sys.argv` belongs to the launcher, so the command is replaced by
one that does exactly this job in exactly this folder. It replaces names that are private to
Lightning, hence the check that they are there.

Source: lightning 2.6.6, lightning/fabric/strategies/launchers/subprocess_script.py.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    import lightning as L
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

MODULES = (
    "lightning.fabric.strategies.launchers.subprocess_script",
    "lightning.pytorch.strategies.launchers.subprocess_script",
)
NAME = "_hydra_subprocess_cmd"
LEFT_BEHIND = (
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
)


def rank_command(script: str, overrides: Sequence[str], folder: Path, local_rank: int) -> list[str]:
    """The command of one further process of a job."""
    return [
        sys.executable,
        script,
        *overrides,
        f"hydra.run.dir='{folder}'",
        f"hydra.job.name=rank{local_rank}",
        "hydra.output_subdir=null",
        "hydra.mode=RUN",
    ]


@contextmanager
def relaunched(script: str, overrides: Sequence[str], folder: Path, cwd: str) -> Iterator[None]:
    """Lets a job on several devices start its further processes; clears up after it.

    Raises:
        ValueError: this version of Lightning starts processes in another way.
    """

    def command(local_rank: int) -> tuple[list[str], str]:
        return rank_command(script, overrides, folder, local_rank), cwd

    set_outside = {name: os.environ.get(name) for name in LEFT_BEHIND}
    with ExitStack() as replaced:
        for name in MODULES:
            module = importlib.import_module(name)
            if not hasattr(module, NAME):
                raise ValueError(
                    f"lightning: expected {name}.{NAME} to replace, found none; install the "
                    "lightning version of constraints.txt, or train on one device"
                )
            replaced.enter_context(mock.patch.object(module, NAME, command))
        try:
            yield
        finally:
            _leave_group()
            for key, value in set_outside.items():
                os.environ.pop(key, None) if value is None else os.environ.update({key: value})


def environment() -> list[ClusterEnvironment]:
    """What tells Lightning to start the further processes itself where SLURM started only one.

    Without it Lightning takes for granted that under SLURM every device has a task of its own.
    """
    if os.environ.get("SLURM_NTASKS") != "1":
        return []
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    return [LightningEnvironment()]


@contextmanager
def ended_together(trainer: L.Trainer) -> Iterator[None]:
    """Ends the further processes where the first one fails: they would wait for it in vain.

    They are taken from Lightning's list, since it ends this process too when one of them is killed.
    """
    try:
        yield
    except BaseException:
        ranks: list[subprocess.Popen] = getattr(trainer.strategy.launcher, "procs", [])
        while ranks:
            rank = ranks.pop()
            rank.kill()
            rank.wait()
        raise


def _leave_group() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
