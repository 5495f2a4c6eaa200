"""Runs jobs through joblib, as many at a time as there are slots."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import Any

from hydra_plugins.windtunnel_process_launcher import _pool
from hydra_plugins.windtunnel_process_launcher._jobs import LaunchedJob, Outcome
from hydra_plugins.windtunnel_process_launcher._slots import Slot
from windtunnel.stopping import Stopped, heard


def run(
    jobs: Sequence[LaunchedJob],
    slots: Sequence[Slot],
    server: BaseContext,
    task: tuple[str, str],
    watcher: _pool.Watcher,
    *,
    grace_seconds: float,
    settings: dict[str, Any],
) -> list[Outcome]:
    """Does all jobs; one that fails leaves the others alone.

    Raises:
        ValueError: joblib is not installed.
        KeyboardInterrupt, Stopped: by Ctrl-C, or by SIGTERM and SIGUSR1, after the running jobs
            have saved and ended.
    """
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise ValueError(
            "hydra/launcher=joblib needs joblib, which is not installed: pip install -e '.[joblib]'"
        ) from error
    free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)
    is_stopping = threading.Event()
    running: list[_pool.Running] = []
    outcomes: dict[int, Outcome] = {}

    def do(index: int, job: LaunchedJob) -> tuple[int, Outcome]:
        slot = free.get()
        if is_stopping.is_set():
            return index, Outcome("stopped", None, "")
        at_work = _pool.start(index, job, slot, server, task)
        running.append(at_work)
        watcher.started(job)
        while at_work.process.exitcode is None:
            connection.wait([at_work.process.sentinel], _pool.TICK_SECONDS)
        running.remove(at_work)
        free.put(slot)
        return index, _pool.outcome_of(at_work)

    parallel = Parallel(
        n_jobs=len(slots), backend="threading", return_as="generator_unordered", **settings
    )
    try:
        with heard():
            ended: Any = parallel(delayed(do)(index, job) for index, job in enumerate(jobs))
            for index, outcome in ended:
                outcomes[index] = outcome
                watcher.ended(jobs[index], outcome)
                watcher.tick()
    except (KeyboardInterrupt, Stopped):
        is_stopping.set()
        _pool.stop(running, watcher, grace_seconds)
        raise
    return [outcomes[index] for index in range(len(jobs))]
