"""The jobs of successive halving: each trial trains from rung to rung, from its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job

PILOT, RUNG, TRUTH = "pilot", "rung", "truth"


@dataclass(frozen=True)
class Heats:
    """Which job trains a trial from one rung to the next.

    trials: overrides of every trial, by its name.
    rungs: after how many evaluations trials are ranked; the last is all of them.
    tokens: tokens of a run after each of its evaluations.
    """

    trials: Mapping[str, Mapping[str, Any]]
    rungs: Sequence[int]
    tokens: Sequence[int]

    def __post_init__(self) -> None:
        """Refuses trials or rungs that the jobs could not be made of."""
        rising = all(a < b for a, b in pairwise([0, *self.rungs]))
        if len(self.rungs) < 2 or not rising or self.rungs[-1] != len(self.tokens):
            raise ValueError(
                f"study.rungs must be two numbers of evaluations or more, rising to "
                f"budget.evaluations={len(self.tokens)}; got {list(self.rungs)}"
            )
        for name, own in self.trials.items():
            if "seed" in own:
                raise ValueError(
                    f"study.trials.{name}: seed is set by the study for each of its jobs; leave it "
                    "out"
                )

    def name(self, trial: str, k: int, seed: int) -> str:
        """The name of the job that ends at rung k."""
        return f"{trial}-r{k}-s{seed}"

    def pilot(self, trial: str) -> Job:
        """A whole run that the law is fitted to."""
        return Job(f"pilot-{trial}", PILOT, {**self.trials[trial], "seed": 0}, cost=2.0)

    def rung(self, trial: str, seed: int, k: int, folder: Path | None) -> Job:
        """A trial from rung k - 1 to rung k."""
        tokens = self.tokens[self.rungs[k] - 1]
        stop = {} if k == len(self.rungs) - 1 else {"callbacks.stop.tokens": tokens}
        keep = {"callbacks.keep.tokens": [tokens]}
        own = {**self.trials[trial], "seed": seed, **stop, **keep}
        before = 0 if k == 0 else self.rungs[k - 1]
        source = {} if k == 0 else self._source(trial, seed, k - 1, folder)
        cost = (self.rungs[k] - before) / self.rungs[-1]
        return Job(self.name(trial, k, seed), RUNG, {**own, **source}, cost=cost)

    def rest(self, trial: str, seed: int, k: int, folder: Path | None) -> Job:
        """A trial that was stopped at rung k, to the end."""
        own = {**self.trials[trial], "seed": seed, **self._source(trial, seed, k, folder)}
        cost = 1 - self.rungs[k] / self.rungs[-1]
        return Job(f"{trial}-rest-s{seed}", TRUTH, own, cost=cost)

    def names(self, trial: str, seed: int) -> list[str]:
        """Every job that a trial may have, in the order in which they train."""
        rungs = [self.name(trial, k, seed) for k in range(len(self.rungs))]
        return [*rungs, f"{trial}-rest-s{seed}"]

    def _source(self, trial: str, seed: int, k: int, folder: Path | None) -> dict[str, Any]:
        """The checkpoint that a job goes on from."""
        if folder is None:
            return {}
        place = str(folder / self.name(trial, k, seed))
        tokens = self.tokens[self.rungs[k] - 1]
        return {"branch": "checkpoint", "branch.folder": place, "branch.tokens": tokens}
