"""The progress line: jobs done, running, failed, and the time left.

Time left = cost that is left / cost done per second so far; a running job has done the share of
its cost that its `progress.json` says. Without a terminal there is one plain line per ended job.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from windtunnel.folder import LOG, finished, result_line

from ._jobs import LaunchedJob, Outcome
from ._pool import last_lines

PLAN = "jobs.json"
LEAST_SHARE = 0.02


class Progress:
    """Tells the terminal what happens to a batch of jobs."""

    def __init__(self, jobs: Sequence[LaunchedJob], home: Path) -> None:
        from rich.console import Console

        self.home = home
        self.costs = planned_costs(home)
        self.done_before = n_done(home, self.costs, jobs)
        self.jobs = {job.label: job for job in jobs}
        self.began = time.monotonic()
        self.started_at: dict[str, float] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.noted: set[str] = set()
        self.console = Console(file=sys.stdout, highlight=False)
        self.live: Any = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, transient=True, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def started(self, job: LaunchedJob) -> None:
        self.started_at[job.label] = time.monotonic()
        self.outcomes.pop(job.label, None)  # of a first try that was lost

    def ended(self, job: LaunchedJob, outcome: Outcome) -> None:
        self.outcomes[job.label] = outcome
        seconds = time.monotonic() - self.started_at[job.label]
        place = f"[{self.n_done}/{self.n_jobs}]"
        if outcome.status == "finished":
            record = finished(job.folder)
            result = "finished" if record is None else result_line(record)
            self.say(f"{place} {job.label}: {result} in {duration(seconds)}{self._left()}")
            self._note([] if record is None else record.warnings)
            return
        self.say(f"{place} {job.label}: {outcome.status} after {duration(seconds)}")
        self.say(textwrap.indent(f"{self._end(job, outcome)}\nlog: {job.folder / LOG}", "  "))

    def tick(self) -> None:
        if self.live is None:
            return
        from rich.text import Text

        self.live.update(Text(self.line(), overflow="ellipsis", no_wrap=True), refresh=True)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    @property
    def n_jobs(self) -> int:
        """Jobs that are planned, those of other batches included."""
        return max(len(self.costs), self.done_before + len(self.jobs))

    @property
    def n_done(self) -> int:
        """Jobs that have finished, those of earlier batches included."""
        return self.done_before + self._count("finished")

    def line(self) -> str:
        """`3/8 done, 2 running (w64-s1 45 %, w96-s1 3 %), 0 failed, 2 min left`."""
        running = [name for name in self.started_at if name not in self.outcomes]
        shares = ", ".join(f"{name} {100 * share_done(self.jobs[name]):.0f} %" for name in running)
        failed = sum(map(self._count, ("failed", "refused", "stopped", "lost")))
        parts = [
            f"{self.n_done}/{self.n_jobs} done",
            f"{len(running)} running" + (f" ({shares})" if shares else ""),
            f"{failed} failed",
        ]
        return ", ".join(parts) + self._left()

    def _note(self, warnings: Sequence[str]) -> None:
        """Shows what a record warns of, once for all jobs that say the same."""
        for warning in warnings:
            if warning not in self.noted:
                self.noted.add(warning)
                self.say(f"  note: {warning}")

    def _end(self, job: LaunchedJob, outcome: Outcome) -> str:
        """The last lines of a failed job, shown once for jobs that fail alike."""
        others = [other for name, other in self.outcomes.items() if name != job.label]
        if outcome.reason in [other.reason for other in others]:
            return f"{outcome.reason} (as before)"
        if outcome.status == "refused":
            return outcome.reason
        lines = last_lines(job)
        return lines if outcome.reason in lines else f"{lines}\n{outcome.reason}".strip()

    def _count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes.values())

    def _left(self) -> str:
        done = 0.0
        for name, job in self.jobs.items():
            if name in self.outcomes:
                done += self._cost(name)
            elif name in self.started_at:
                done += self._cost(name) * share_done(job)
        total = sum(self._cost(name) for name in self.jobs)
        later = [name for name in self.costs if name not in self.jobs]
        total += sum(self._cost(name) for name in later if finished(self.home / name) is None)
        seconds = time_left(time.monotonic() - self.began, done, total)
        return "" if seconds is None or seconds < 1 else f", {duration(seconds)} left"

    def _cost(self, name: str) -> float:
        return self.costs.get(name, 1.0)


def time_left(elapsed: float, done: float, total: float) -> float | None:
    """Seconds until all cost is done at the pace so far; None while too little is done."""
    if total <= 0 or done < LEAST_SHARE * total:
        return None
    return elapsed * (total - done) / done


def share_done(job: LaunchedJob) -> float:
    """The share of its tokens that a job has trained on."""
    try:
        progress = json.loads((job.folder / "progress.json").read_text())
        return min(1.0, progress["tokens"] / max(1, progress["total_tokens"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def planned_costs(home: Path) -> dict[str, float]:
    """Cost of every planned job by name, from the study's plan; empty without a study."""
    try:
        plan = json.loads((home / PLAN).read_text())
    except (OSError, ValueError):
        return {}
    return {job["name"]: float(job["cost"]) for job in plan["jobs"]}


def n_done(home: Path, costs: Mapping[str, float], jobs: Sequence[LaunchedJob]) -> int:
    """Planned jobs that had finished before this batch."""
    batch = {job.label for job in jobs}
    return sum(finished(home / name) is not None for name in costs if name not in batch)


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"
