"""Hands jobs to an executor of submitit, and says how they ended."""

from __future__ import annotations

import inspect
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_plugins.windtunnel_process_launcher._jobs import LaunchedJob, Outcome
from hydra_plugins.windtunnel_process_launcher._pool import Watcher, last_lines
from hydra_plugins.windtunnel_process_launcher._slots import Slot
from windtunnel.folder import LOG, finished, finished_loss
from windtunnel.stopping import CODES, Stopped, heard

from ._command import Command

FOLDER = ".submitit"
POLL_SECONDS = 0.2
REFUSED = 2  # the exit code of train.py where a setting is wrong


@dataclass
class Submitted:
    """A job that submitit has taken."""

    index: int
    job: LaunchedJob
    slot: Slot | None
    handle: Any
    ending: Path


def make(home: Path, cluster: str, parameters: Mapping[str, Any], timeouts: int) -> Any:
    """An executor that keeps its files in `home`.

    Raises:
        ValueError: submitit is not installed, SLURM is not there, or a parameter is not known.
    """
    try:
        import submitit
    except ImportError as error:
        raise ValueError(
            f"hydra/launcher=submitit_{cluster} needs submitit, which is not installed: "
            "pip install -e '.[slurm]'"
        ) from error
    try:
        limit = {f"{cluster}_max_num_timeout": timeouts}
        executor = submitit.AutoExecutor(folder=home, cluster=cluster, **limit)
        executor.update_parameters(**parameters)
    except (AssertionError, NameError, RuntimeError) as error:
        raise ValueError(
            f"hydra/launcher=submitit_{cluster}: submitit refuses ({error}); use "
            "hydra/launcher=process on a machine without SLURM, or correct "
            "hydra.launcher.parameters"
        ) from error
    return executor


def script_of(task: Callable[..., Any]) -> Path:
    """The script that defines the task function."""
    return Path(str(inspect.getsourcefile(inspect.unwrap(task)))).absolute()


def words(job: LaunchedJob, script: Path) -> list[str]:
    """The command that does one job alone, in its folder."""
    given = job.config.hydra.overrides
    folder = str(job.folder).replace("'", "\\'")
    alone = [f"hydra.run.dir='{folder}'", "hydra.mode=RUN"]
    return [sys.executable, str(script), *given.hydra, *given.task, *alone]


def run(
    jobs: Sequence[LaunchedJob],
    slots: Sequence[Slot | None],
    executor: Any,
    script: Path,
    watcher: Watcher,
) -> list[Outcome]:
    """Does all jobs, one to a slot; one that fails leaves the others alone.

    Raises:
        KeyboardInterrupt, Stopped: by Ctrl-C, or by SIGTERM and SIGUSR1, once the jobs that run or
            wait are cancelled.
    """
    waiting = list(enumerate(jobs))[::-1]
    free = list(slots)
    running: list[Submitted] = []
    outcomes: dict[int, Outcome] = {}
    try:
        with heard():
            while waiting or running:
                batch = [(*waiting.pop(), free.pop()) for _ in range(min(len(waiting), len(free)))]
                if batch:
                    running += submit(batch, executor, script)
                    for _, job, _ in batch:
                        watcher.started(job)
                time.sleep(POLL_SECONDS)
                for ended in [each for each in running if each.handle.done()]:
                    running.remove(ended)
                    free.append(ended.slot)
                    outcomes[ended.index] = outcome = outcome_of(ended.job, ended.ending)
                    watcher.ended(ended.job, outcome)
                watcher.tick()
    except (KeyboardInterrupt, Stopped):
        watcher.say(f"cancelling {len(running)} jobs, which save their state")
        for each in running:
            each.handle.cancel()
        raise
    return [outcomes[index] for index in range(len(jobs))]


def submit(
    batch: Sequence[tuple[int, LaunchedJob, Slot | None]], executor: Any, script: Path
) -> list[Submitted]:
    """Submits jobs together: on SLURM as one array."""
    taken = []
    with executor.batch():
        for index, job, slot in batch:
            ending = Path(executor.folder) / f"{job.folder.name}.json"
            ending.unlink(missing_ok=True)
            environment = {} if slot is None else slot.environment
            command = Command(words(job, script), environment, job.folder / LOG, ending)
            taken.append(Submitted(index, job, slot, executor.submit(command), ending))
    return taken


def outcome_of(job: LaunchedJob, ending: Path) -> Outcome:
    """How a job that has ended did, by what it left."""
    record = finished(job.folder)
    if record is not None:
        return Outcome("finished", finished_loss(record), "")
    try:
        code = json.loads(ending.read_text())["code"]
    except FileNotFoundError:
        return Outcome("lost", None, "its process or its machine is gone")
    if code == 0:  # a task that leaves no record
        return Outcome("finished", None, "")
    if code < 0:
        return Outcome("lost", None, f"its process was ended by {signal.Signals(-code).name}")
    if code in CODES.values():
        return Outcome("stopped", None, "it was stopped from outside")
    said = last_lines(job) or f"its process ended with exit code {code}"
    return Outcome("refused" if code == REFUSED else "failed", None, said)
