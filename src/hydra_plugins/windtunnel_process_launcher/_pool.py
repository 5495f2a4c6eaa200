"""Runs jobs in processes, as many at a time as there are slots."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Protocol

from windtunnel.folder import LOG

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
        KeyboardInterrupt: by Ctrl-C or SIGTERM, after the running jobs have saved and ended.
    """
    waiting = list(enumerate(jobs))[::-1]
    free = list(slots)[::-1]
    running: list[Running] = []
    outcomes: dict[int, Outcome] = {}
    try:
        with _sigterm_as_interrupt():
            while waiting or running:
                while waiting and free:
                    index, job = waiting.pop()
                    running.append(_start(index, job, free.pop(), server, task))
                    watcher.started(job)
                connection.wait([r.process.sentinel for r in running], TICK_SECONDS)
                for ended in [r for r in running if r.process.exitcode is not None]:
                    running.remove(ended)
                    free.append(ended.slot)
                    outcomes[ended.index] = outcome = _outcome(ended)
                    watcher.ended(ended.job, outcome)
                watcher.tick()
    except KeyboardInterrupt:
        _stop(running, watcher, grace_seconds)
        raise
    except BaseException:
        _kill(running)
        raise
    return [outcomes[index] for index in range(len(jobs))]


def _start(
    index: int, job: LaunchedJob, slot: Slot, server: BaseContext, task: tuple[str, str]
) -> Running:
    receiver, sender = server.Pipe(duplex=False)
    app = str(job.config.hydra.job.name)
    given = Work(job.config, task, app, slot.environment, slot.threads, job.folder / LOG)
    process = server.Process(target=work, args=(given, sender), name=job.label)  # type: ignore[attr-defined]
    process.start()
    sender.close()
    return Running(index, job, slot, process, receiver)


def _outcome(ended: Running) -> Outcome:
    ended.process.join()
    try:
        status, value, reason = ended.receiver.recv()
        outcome = Outcome(status, value, reason)
    except EOFError:
        outcome = Outcome("failed", None, _death(ended.process.exitcode))
    ended.receiver.close()
    return outcome


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {code}"


def _stop(running: list[Running], watcher: Watcher, grace_seconds: float) -> None:
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
    except KeyboardInterrupt:  # the second one: no more waiting
        pass
    finally:
        _kill(running)


def _kill(running: list[Running]) -> None:
    for each in running:
        if each.process.is_alive() and each.process.pid:
            try:
                os.killpg(each.process.pid, signal.SIGKILL)
            except (AttributeError, ProcessLookupError, PermissionError):
                each.process.kill()
            each.process.join()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Lets SIGTERM stop the jobs in good order as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_lines(job: LaunchedJob) -> str:
    """The end of a job's log."""
    path = job.folder / LOG
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines[-LOG_LINES:] if line.strip())
