"""What submitit runs for a job: the command that does it, in a process of its own.

Nothing is read back from submitit's pickles: how the command ended stands in a small file.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.files import write_whole


class Command:
    """Runs a command with its output at the end of a log; says in `ending` how it ended."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], log: Path, ending: Path
    ) -> None:
        self.words, self.environment = list(words), dict(environment)
        self.log, self.ending, self.cwd = log, ending, Path.cwd()
        self.number = 0  # of the process

    def __call__(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()}\n")
            log.flush()
            process = subprocess.Popen(
                self.words,
                cwd=self.cwd,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent if sys.platform == "linux" else None,
            )
        with process:
            self.number = process.pid
            code = process.wait()
        write_whole(self.ending, json.dumps({"code": code}))

    def checkpoint(self) -> Any:
        """Called when the time is over: lets the job save, and puts it back into the queue."""
        from submitit.helpers import DelayedSubmission

        os.kill(self.number, signal.SIGTERM)
        # Called by a signal while `wait` holds its lock, so that another `wait` would never end.
        os.waitid(os.P_PID, self.number, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(self)


def end_with_parent() -> None:
    """Has the system ask this process to save and end when its parent is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # prctl(2): 1 is PR_SET_PDEATHSIG
