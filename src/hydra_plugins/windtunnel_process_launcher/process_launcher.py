"""Hydra launcher that gives every job a process of its own, some at a time.

Processes are forked from a server that has already imported the heavy libraries, so a job starts in
well under a second; nothing leaks from one job into the next, and a crash takes one job. Where the
operating system cannot fork, they are spawned.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
        devices: devices that one job uses.
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

        from . import _jobs, _pool, _progress, _slots

        named = zip(job_overrides, _jobs.labels(job_overrides), strict=True)
        jobs = [
            _jobs.LaunchedJob(
                label,
                list(overrides),
                partial(_jobs.compose, self.config, self.hydra_context, list(overrides), index),
            )
            for index, (overrides, label) in enumerate(named, start=initial_job_idx)
        ]
        if not all(map(_jobs.is_named, job_overrides)):  # a study has checked its own
            _jobs.refuse_bad(jobs, get_method(self.prepare))
        slots = _slots.share(
            len(jobs),
            workers=self.workers,
            threads=self.threads,
            devices=self.devices if isinstance(self.devices, int) else 1,
            cores=_slots.cores(),
            gpus=[] if self.accelerator == "cpu" else _slots.gpus(),
        )
        task = _jobs.name_of(self.task_function)
        with _progress.Progress(jobs, Path(str(self.config.hydra.sweep.dir))) as progress:
            outcomes = _pool.run(
                jobs, slots, self.server, task, progress, grace_seconds=self.grace_seconds
            )
        return [_jobs.returned(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
