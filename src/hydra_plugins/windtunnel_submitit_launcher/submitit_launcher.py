"""Hydra launcher for SLURM on submitit; its executor for this machine runs the same path in tests.

A job is the command that would do it alone, in its own folder, so a study may be stopped and gone
on with on another machine. Records come back through the folder, which all machines have to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.windtunnel_process_launcher.process_launcher import ProcessLauncher


class SubmititLauncher(ProcessLauncher):
    """Runs a batch of jobs through submitit.

    Args:
        cluster: `slurm` submits a batch as one array; `local` keeps to the workers of this machine.
        parameters: of `submitit.AutoExecutor.update_parameters`; null leaves one out.
        timeouts: how often a job may run out of time and be put back into the queue.
        process: the settings of the process launcher; on SLURM `workers` limits the array.
    """

    def __init__(
        self,
        *,
        cluster: Literal["slurm", "local"],
        parameters: Mapping[str, Any],
        timeouts: int,
        **process: Any,
    ) -> None:
        if cluster not in ("slurm", "local"):
            raise ValueError(f"hydra.launcher.cluster must be slurm or local, got {cluster!r}")
        super().__init__(**process)
        self.cluster: Literal["slurm", "local"] = cluster
        self.parameters = {key: value for key, value in parameters.items() if value is not None}
        self.timeouts = timeouts

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def slots(self, n_jobs: int) -> list[Any]:
        """Room on this machine; SLURM shares its own."""
        return super().slots(n_jobs) if self.cluster == "local" else [None] * n_jobs

    def run(self, jobs: Sequence[Any], watcher: Any) -> list[Any]:
        from . import _executor

        home = Path(str(self.config.hydra.sweep.dir)).absolute() / _executor.FOLDER
        parameters = dict(self.parameters)
        if self.cluster == "slurm" and isinstance(self.workers, int):
            parameters["slurm_array_parallelism"] = self.workers
        executor = _executor.make(home, self.cluster, parameters, self.timeouts)
        script = _executor.script_of(self.task_function)
        return _executor.run(jobs, self.slots(len(jobs)), executor, script, watcher)
