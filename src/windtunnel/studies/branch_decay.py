"""The data axis of a scaling law from one run and its tails.

Batch 1 trains one model at a constant rate, and keeps a checkpoint wherever a decay is to begin.
Batch 2 branches off from each: the same schedule that a run of that length would have had, so that
only its tail is trained; and beside them, whole runs of every length under each control, with the
same seeds. A law L(D) = a D^b + c is fitted to the branches and to each control.

    cost = (stable run + tails) / sum of the lengths,  in training tokens

A branch under the schedule of a control is that control's run; another difference than zero says
that going on from a checkpoint is not what training on would have been.

Source: Hu et al. 2024 (MiniCPM), arXiv 2404.06395, section 4.3; 1 - sqrt: Haegele et al. 2024,
arXiv 2405.18392.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.interfaces import Job, Record, Schedule
from windtunnel.scaling.laws import by_name
from windtunnel.studies.members import (
    Row,
    by,
    check_distinct,
    check_seeds,
    held_out_loss,
    left_out,
    mean_loss,
    missing,
    usable,
)
from windtunnel.studies.method import Method
from windtunnel.studies.noise import pooled_sd

BRANCH = "branch"
N_DRAWN = 48  # points of a curve that a figure draws


class BranchDecay:
    """One stable run per seed, a tail per length, and whole runs of the same lengths."""

    def __init__(
        self,
        *,
        lengths: Sequence[int],
        schedules: Mapping[str, Schedule],
        stable: str,
        decay: str,
        controls: Sequence[str],
        sequences: int,
        length: int,
        evaluations: int,
        seeds: int,
        law: str,
        method: Method,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be branched, before any work.

        Args:
            lengths: training tokens of every branch, from the first step on.
            schedules: multipliers of the peak rate by the name of their YAML.
            stable: name of the schedule of the run that is branched off from.
            decay: name of the schedule that a branch has had all along.
            controls: names of the schedules under which every length is trained whole.
            sequences: sequences of a batch.
            length: tokens of a sequence.
            evaluations: held-out evaluations of a run, evenly spaced.
            seeds: how many seeds there are of all of it; they are 1, 2, ...
            law: name of a law of D.
            method: how to fit and draw intervals.
            report: writes table and figure of what was concluded into a folder.
        """
        self.law, self.method, self.report = by_name(law), method, report
        why = f"to fit the {len(self.law.coefficients)} coefficients of {law} and judge the fit"
        check_distinct("study.lengths", lengths, len(self.law.coefficients) + 1, why)
        check_seeds(seeds)
        if self.law.columns != ("D",):
            raise ValueError(
                f"study.law must be a law of training tokens alone, got {law}, a law of "
                f"{', '.join(self.law.columns)}: try power_law_constant:D"
            )
        unknown = sorted({stable, decay, *controls} - set(schedules))
        if unknown:
            raise ValueError(
                f"study.stable, study.decay and study.controls name schedules of study.schedules, "
                f"which has {', '.join(schedules)}; got {', '.join(unknown)}"
            )
        self.tokens_per_step, self.evaluations = sequences * length, evaluations
        whole = self.tokens_per_step * evaluations
        if ragged := [tokens for tokens in lengths if tokens % whole]:
            raise ValueError(
                f"study.lengths must be whole steps between whole evaluations, multiples of "
                f"{whole} tokens; got {', '.join(map(str, ragged))}: round them"
            )
        self.lengths, self.seeds = sorted(lengths), list(range(1, seeds + 1))
        self.schedules, self.stable, self.decay = dict(schedules), stable, decay
        self.controls = list(controls)
        self.starts = {tokens: self._start(tokens) for tokens in self.lengths}
        self.stable_tokens = -(-max(self.starts.values()) // whole) * whole

    def stems(self) -> list[Job]:
        """The stable run of every seed, which keeps a checkpoint for every branch."""
        keep = {"callbacks.keep.tokens": sorted(set(self.starts.values()))}
        return [self._job("stable", self.stable, self.stable_tokens, s, keep) for s in self.seeds]

    def branches(self, folder: Path | None) -> list[Job]:
        """The tails; without the stable runs' folders as long as these have not run."""
        return [
            self._job(BRANCH, self.decay, tokens, seed, self._source(folder, tokens, seed))
            for tokens in self.lengths
            for seed in self.seeds
        ]

    def whole(self) -> list[Job]:
        """The runs that are trained from the first step on."""
        return [
            self._job(f"whole-{control}", control, tokens, seed, {})
            for control in self.controls
            for tokens in self.lengths
            for seed in self.seeds
        ]

    def plan(self) -> Sequence[Job]:
        """All jobs, the branches without what they branch off from."""
        return [*self.stems(), *self.whole(), *self.branches(None)]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The stable runs; then branches, and whole runs."""
        if waiting := missing(self.stems(), records):
            return waiting
        lost = [
            job.overrides["seed"] for job in self.stems() if records[job.name].outcome != "finished"
        ]
        grown = [job for job in self.branches(folder) if job.overrides["seed"] not in lost]
        return missing([*self.whole(), *grown], records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the branches beside the whole runs, and reports."""
        jobs = self.plan()
        rows = [_row(job, records.get(job.name)) for job in jobs]
        arms = by((line for line in rows if line["role"] != "stable"), "role")
        found = {name: self._arm(usable(own)) for name, own in sorted(arms.items())}
        for name, own in found.items():
            own["less_branch"] = _difference(usable(arms[BRANCH]), usable(arms[name]))
        result = {
            "study": "branch_decay",
            "law": self.law.name,
            "formula": self.law.formula,
            "level": self.method.level,
            "stable": self.stable,
            "decay": self.decay,
            "lengths": self.lengths,
            "starts": [self.starts[tokens] for tokens in self.lengths],
            "arms": found,
            "cost": self._cost(),
            "curves": self._curves(records),
            "jobs": rows,
            "warnings": left_out(line for line in rows if line["outcome"] != "missing"),
        }
        self.report(result, folder)
        return result

    def _start(self, tokens: int) -> int:
        """Tokens of the steps that a run of this length trains at the rates of the stable run."""
        each, n_steps = self.tokens_per_step, tokens // self.tokens_per_step
        stable, decay = self.schedules[self.stable], self.schedules[self.decay]
        middle = (np.arange(n_steps) + 0.5) * each
        alike = [math.isclose(stable(t, tokens), decay(t, tokens), rel_tol=1e-9) for t in middle]
        n_alike = alike.index(False) if False in alike else n_steps
        if not 0 < n_alike < n_steps:
            raise ValueError(
                f"study.decay must have the rates of study.stable for a while and then part from "
                f"them; {self.decay} and {self.stable} share {n_alike} of {n_steps} steps over "
                f"{tokens} tokens: choose wsd and constant, with the same warm-up"
            )
        return n_alike * each

    def _source(self, folder: Path | None, tokens: int, seed: int) -> dict[str, Any]:
        if folder is None:
            return {}
        source = {"branch.folder": str(folder / f"stable-s{seed}")}
        return {"branch": "checkpoint", **source, "branch.tokens": self.starts[tokens]}

    def _job(
        self, role: str, schedule: str, tokens: int, seed: int, more: Mapping[str, Any]
    ) -> Job:
        overrides = {"schedule": schedule, "budget.tokens": tokens, "seed": seed, **more}
        trained = tokens - (self.starts[tokens] if role == BRANCH else 0)
        name = f"{role}-s{seed}" if role == "stable" else f"{role}-d{tokens}-s{seed}"
        return Job(name, role, overrides, cost=trained / self.lengths[0])

    def _arm(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Losses by length, and the law that is fitted to them."""
        lengths = {
            str(tokens): {
                "loss": mean_loss(own),
                "sd": pooled_sd([[line["loss"] for line in own]]),
                "seeds": len(own),
            }
            for tokens, own in by(rows, "tokens").items()
        }
        values: dict[str, Any] = {
            "lengths": lengths,
            "seed_sd": pooled_sd([[x["loss"] for x in own] for own in by(rows, "tokens").values()]),
            "parameters": None,
            "intervals": None,
            "band": None,
        }
        if len(lengths) <= len(self.law.coefficients):
            return values
        tokens_M = np.array([line["tokens"] for line in rows], float)
        fitted = self.method.fit(self.law, {"D": tokens_M}, np.array([x["loss"] for x in rows]))
        drawn_M = np.geomspace(tokens_M.min(), tokens_M.max(), N_DRAWN)
        return values | {
            "parameters": dict(fitted.parameters),
            "intervals": {n: list(ends) for n, ends in self.method.coefficients(fitted).items()},
            "band": {"tokens": drawn_M.tolist(), "loss": fitted.predict({"D": drawn_M}).tolist()},
        }

    def _cost(self) -> dict[str, Any]:
        """Training tokens of one seed."""
        tails = sum(tokens - self.starts[tokens] for tokens in self.lengths)
        whole = sum(self.lengths)
        return {
            "stable": self.stable_tokens,
            "tails": tails,
            "whole": whole,
            "ratio": (self.stable_tokens + tails) / whole,
        }

    def _curves(self, records: Mapping[str, Record]) -> dict[str, Any]:
        """Held-out curves of the first seed: the stable run and its branches."""
        jobs = [*self.stems(), *self.branches(None)]
        first = [job for job in jobs if job.overrides["seed"] == self.seeds[0]]
        curves = {job.name: records[job.name].eval_curve for job in first if job.name in records}
        return {n: {"tokens": curve.tokens, "loss": curve.values} for n, curve in curves.items()}


def _difference(branches: Sequence[Row], rows: Sequence[Row]) -> dict[str, Any] | None:
    """Loss of an arm less that of the branch of the same length and seed, over all pairs."""
    own = {(line["tokens"], line["seed"]): line["loss"] for line in branches}
    pairs = [
        line["loss"] - own[key] for line in rows if (key := (line["tokens"], line["seed"])) in own
    ]
    if not pairs:
        return None
    return {
        "mean": math.fsum(pairs) / len(pairs),
        "largest": max(pairs, key=abs),
        "pairs": len(pairs),
        "equal": sum(pair == 0.0 for pair in pairs),
    }


def _row(job: Job, record: Record | None) -> Row:
    """One line of the study's table."""
    line = {
        "job": job.name,
        "role": job.role,
        "schedule": job.overrides["schedule"],
        "tokens": job.overrides["budget.tokens"],
        "seed": job.overrides["seed"],
        "outcome": "missing" if record is None else record.outcome,
        "loss": held_out_loss(record),
    }
    if record is None:
        return line
    return line | {"outcome_step": record.outcome_step, "seconds": record.seconds}
