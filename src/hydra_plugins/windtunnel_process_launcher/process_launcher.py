"""Hydra launcher that gives every job a process of its own, some at a time.

Processes are forked from a server that has already imported the heavy libraries, so a job starts in
well under a second; nothing leaks from one job into the next, and a crash takes one job. Where the
operating system cannot fork, they are spawned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessLauncher(Launcher):
    """Runs a batch of jobs in processes.

    Args:
        workers: jobs at a time; `auto` for as many as there are GPUs, or cores without a GPU.
        threads: threads of a job; `auto` for an equal share of the cores.
        devices: devices that one job uses; `auto` for all GPUs, or one process without a GPU.
        accelerator: `cpu` keeps jobs from the GPUs.
        preload: modules that the server imports once for all jobs.
        prepare: name of the function that does for a job's config what may be refused.
        grace_seconds: how long jobs may take to save when they are stopped.
    """

    def __init__(
        self,
        *,
        workers: int | Literal["auto"],
        threads: int | Literal["auto"],
        devices: int | Literal["auto"],
        accelerator: str,
        preload: Sequence[str],
        prepare: str,
        grace_seconds: float,
    ) -> None:
        self.workers: int | Literal["auto"] = workers
        self.threads: int | Literal["auto"] = threads
        self.devices = devices
        self.accelerator = accelerator
        self.preload = list(preload)
        self.prepare = prepare
        self.grace_seconds = grace_seconds
        self.server: Any = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from . import _server

        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        self.server = _server.start(self.preload)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from hydra.utils import get_method

        from . import _jobs, _progress

        jobs = _jobs.made(job_overrides, initial_job_idx, self.config, self.hydra_context)
        if not all(map(_jobs.is_named, job_overrides)):  # a study has checked its own
            _jobs.refuse_bad(jobs, get_method(self.prepare))
        self.slots(len(jobs))  # refuses before any job starts
        with _progress.Progress(jobs, Path(str(self.config.hydra.sweep.dir))) as progress:
            outcomes = _jobs.retried(jobs, lambda some: self.run(some, progress), progress.say)
        return [_jobs.returned(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]

    def slots(self, n_jobs: int) -> list[Any]:
        """Room for the jobs that run at the same time.

        Raises:
            ValueError: a job wants more than there is.
        """
        from . import _slots

        gpus = [] if self.accelerator == "cpu" else _slots.gpus()
        return _slots.share(
            n_jobs,
            workers=self.workers,
            threads=self.threads,
            devices=self.devices if isinstance(self.devices, int) else max(1, len(gpus)),
            cores=_slots.cores(),
            gpus=gpus,
        )

    def run(self, jobs: Sequence[Any], watcher: Any) -> list[Any]:
        """How each of some jobs ended."""
        from . import _jobs, _pool

        return _pool.run(
            jobs,
            self.slots(len(jobs)),
            self.server,
            _jobs.name_of(self.task_function),
            watcher,
            grace_seconds=self.grace_seconds,
        )
