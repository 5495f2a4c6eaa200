"""Runs jobs in processes, as many at a time as there are slots."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Protocol

from windtunnel.folder import LOG
from windtunnel.stopping import Stopped, heard

from ._child import Work, work
from ._jobs import LaunchedJob, Outcome
from ._slots import Slot

TICK_SECONDS = 0.5
LOG_LINES = 8


class Watcher(Protocol):
    """Is told what happens to the jobs."""

    def started(self, job: LaunchedJob) -> None: ...
    def ended(self, job: LaunchedJob, outcome: Outcome) -> None: ...
    def say(self, line: str) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Running:
    """A job at work."""

    index: int
    job: LaunchedJob
    slot: Slot
    process: BaseProcess
    receiver: connection.Connection


def run(
    jobs: Sequence[LaunchedJob],
    slots: Sequence[Slot],
    server: BaseContext,
    task: tuple[str, str],
    watcher: Watcher,
    *,
    grace_seconds: float,
) -> list[Outcome]:
    """Does all jobs; one that fails leaves the others alone.

    Raises:
        KeyboardInterrupt, Stopped: by Ctrl-C, or by SIGTERM and SIGUSR1, after the running jobs
            have saved and ended.
    """
    waiting = list(enumerate(jobs))[::-1]
    free = list(slots)[::-1]
    running: list[Running] = []
    outcomes: dict[int, Outcome] = {}
    try:
        with heard():
            while waiting or running:
                while waiting and free:
                    index, job = waiting.pop()
                    running.append(start(index, job, free.pop(), server, task))
                    watcher.started(job)
                connection.wait([r.process.sentinel for r in running], TICK_SECONDS)
                for ended in [r for r in running if r.process.exitcode is not None]:
                    running.remove(ended)
                    free.append(ended.slot)
                    outcomes[ended.index] = outcome = outcome_of(ended)
                    watcher.ended(ended.job, outcome)
                watcher.tick()
    except (KeyboardInterrupt, Stopped):
        stop(running, watcher, grace_seconds)
        raise
    except BaseException:
        _kill(running)
        raise
    return [outcomes[index] for index in range(len(jobs))]


def start(
    index: int, job: LaunchedJob, slot: Slot, server: BaseContext, task: tuple[str, str]
) -> Running:
    """Starts the process of a job."""
    receiver, sender = server.Pipe(duplex=False)
    app = str(job.config.hydra.job.name)
    given = Work(job.config, task, app, slot.environment, slot.threads, job.folder / LOG)
    process = server.Process(target=work, args=(given, sender), name=job.label)  # type: ignore[attr-defined]
    process.start()
    sender.close()
    return Running(index, job, slot, process, receiver)


def outcome_of(ended: Running) -> Outcome:
    """How a job that has ended did."""
    ended.process.join()
    try:
        status, value, reason = ended.receiver.recv()
        outcome = Outcome(status, value, reason)
    except EOFError:
        outcome = Outcome("lost", None, _death(ended.process.exitcode))
    ended.receiver.close()
    _kill_group(ended.process)
    return outcome


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {code}"


def stop(running: list[Running], watcher: Watcher, grace_seconds: float) -> None:
    """Asks every job to save and end; kills those that do not."""
    if not running:
        return
    watcher.say(f"stopping {len(running)} jobs, which save their state (Ctrl-C again to kill them)")
    try:
        for each in running:
            each.process.terminate()
        deadline = time.monotonic() + grace_seconds
        while any(each.process.is_alive() for each in running) and time.monotonic() < deadline:
            connection.wait([each.process.sentinel for each in running], TICK_SECONDS)
            time.sleep(0.05)
    except (KeyboardInterrupt, Stopped):  # the second one: no more waiting
        pass
    finally:
        _kill(running)


def _kill(running: list[Running]) -> None:
    for each in running:
        if each.process.is_alive() and each.process.pid:
            if not _kill_group(each.process):
                each.process.kill()
            each.process.join()


def _kill_group(process: BaseProcess) -> bool:
    """Kills a job's process and those it has started: its other devices, and its loaders."""
    assert process.pid  # without it the group would be ours
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):
        return False
    return True


def last_lines(job: LaunchedJob) -> str:
    """The end of a job's log."""
    path = job.folder / LOG
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines[-LOG_LINES:] if line.strip())
