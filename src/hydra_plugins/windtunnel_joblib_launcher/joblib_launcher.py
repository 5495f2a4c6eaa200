"""Hydra launcher for one machine on joblib.

joblib's own pool of processes would give one process to several jobs, and lose all jobs where one
is killed. So its workers are threads, and every job has a process of its own, as under the process
launcher, whose settings these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra_plugins.windtunnel_process_launcher.process_launcher import ProcessLauncher


class JoblibLauncher(ProcessLauncher):
    """Runs a batch of jobs through `joblib.Parallel`.

    Args:
        settings: of `joblib.Parallel`, such as `batch_size` or `verbose`.
        process: the settings of the process launcher.
    """

    def __init__(self, *, settings: dict[str, Any], **process: Any) -> None:
        super().__init__(**process)
        self.settings = settings

    def run(self, jobs: Sequence[Any], watcher: Any) -> list[Any]:
        from hydra_plugins.windtunnel_process_launcher._jobs import name_of

        from . import _parallel

        return _parallel.run(
            jobs,
            self.slots(len(jobs)),
            self.server,
            name_of(self.task_function),
            watcher,
            grace_seconds=self.grace_seconds,
            settings=self.settings,
        )
