"""What happens in the process of one job."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from windtunnel.redaction import hidden
from windtunnel.stopping import heard

Message = tuple[Literal["finished", "failed", "refused", "stopped"], Any, str]

REASON_CHARACTERS = 2000
OOM_SCORE = "500"  # as if it held half of the machine's memory more, proc(5)


@dataclass(frozen=True)
class Work:
    """What the process is given."""

    config: DictConfig
    task: tuple[str, str]
    app: str
    environment: dict[str, str]
    threads: int
    log: Path


def work(given: Work, sender: connection.Connection) -> None:
    """Does one job and sends how it ended."""
    _lead_own_group()
    _be_ended_first()
    _end_with_parent()
    _redirect(given.log)
    os.environ.update(given.environment)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(given.threads)
    sender.send(_run(given))
    sys.stdout.flush()
    sys.stderr.flush()


def _run(given: Work) -> Message:
    try:
        with heard():
            status = _run_job(given)
    except (KeyboardInterrupt, SystemExit) as error:
        _log(error)
        return "stopped", None, f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]
    except Exception as error:
        status = error
    if isinstance(status, Exception):
        _log(status)
        if isinstance(status, ValueError):
            return "refused", None, hidden(str(status))[:REASON_CHARACTERS]
        return "failed", None, hidden(f"{type(status).__name__}: {status}")[:REASON_CHARACTERS]
    return "finished", status, ""


def _log(error: BaseException) -> None:
    sys.stderr.write(hidden("".join(traceback.format_exception(error))))


def _run_job(given: Work) -> Any:
    """Returns the value of the task, or the exception that ended it."""
    from hydra import version
    from hydra._internal.callbacks import Callbacks
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import JobRuntime, JobStatus, run_job, setup_globals
    from hydra.types import HydraContext

    version.setbase("1.3")
    setup_globals()
    JobRuntime.instance().set("name", given.app)
    HydraConfig.instance().set_config(given.config)
    result = run_job(
        hydra_context=HydraContext(config_loader=None, callbacks=Callbacks(given.config)),  # type: ignore[arg-type]
        task_function=_find(*given.task),
        config=given.config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    return result.return_value if result.status == JobStatus.COMPLETED else result._return_value


def _find(module: str, name: str) -> Any:
    """The task function itself, without the decorator that makes it a command."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    return found


def _lead_own_group() -> None:
    """Keeps Ctrl-C in the terminal from this process: the launcher stops it in good order."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def _be_ended_first() -> None:
    """Has Linux, where memory runs out, take this process before the launcher and the server."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _end_with_parent() -> None:
    """Ends this process and its own children at once when the launcher's process is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _redirect(log: Path) -> None:
    """Sends all output of the process, that of compiled code included, to the end of its log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(1, f"--- {stamp}, process {os.getpid()}\n".encode())
