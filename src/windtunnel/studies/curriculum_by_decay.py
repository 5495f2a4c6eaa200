"""Does decay of the learning rate waste the best data, when these come last?

Batch 1 scores the documents. Batch 2 gives every pair of an order and a schedule the same number of
trials, learning rates with a seed of their own; batch 3 trains every pair at its best rate, with
seeds that chose none, once over the text. Every run evaluates its last weights and an average of
its last checkpoints, each at the rate that is best for it. What decay takes of an order's gain is
their interaction (`studies.interaction`).

Source: Luo et al. 2025 ('How learning rate decay wastes your best data in curriculum-based LLM
pretraining'), arXiv 2511.18903. Deviation: equal trials for every pair, where theirs share a rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies import runs
from windtunnel.studies.interaction import gains, interactions
from windtunnel.studies.members import (
    Row,
    check_distinct,
    check_seeds,
    has_ended,
    left_out,
    missing,
)
from windtunnel.studies.standing import trials

OWN = (
    "seed", "optim.lr", "budget.tokens", "schedule.warmup_tokens",
    "callbacks.averaging.every_tokens",
)  # fmt: skip
SCORING = "scoring"  # name of the job that scores
SCORE = "sampler.order.score"
AVERAGES = ("last", "averaged")

Pair = tuple[str, str]  # order, schedule


class CurriculumByDecay:
    """A scoring; then orders x schedules x learning rates; then orders x schedules x seeds."""

    def __init__(
        self,
        *,
        orders: Mapping[str, Mapping[str, Any]],
        control: str,
        schedules: Mapping[str, Mapping[str, Any]],
        constant: str,
        scoring: Mapping[str, Any],
        column: str,
        passes: float,
        sequences: int,
        length: int,
        evaluations: int,
        warmup_fraction: float,
        checkpoint_fraction: float,
        seeds: int,
        lr: float,
        lr_factors: Sequence[float],
        level: float,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be compared, before any work.

        Args:
            orders: overrides of every order; one that sets `sampler.order.score` gets the file of
                the scores for it.
            control: the order that the others are set beside.
            schedules: overrides of every schedule.
            constant: the schedule that the others are set beside.
            scoring: overrides of the job that scores.
            column: name of the column that it leaves.
            passes: how often a run goes over the training text.
            sequences: of a batch.
            length: of a sequence, in tokens.
            evaluations: held-out evaluations of every run.
            warmup_fraction: share of every run over which the rate warms up.
            checkpoint_fraction: share of every run from one averaged checkpoint to the next.
            seeds: how many seeds each pair gets; they are 1, 2, ...
            lr: the peak rate that `lr_factors` multiply.
            lr_factors: trials of every pair.
            level: probability that intervals claim.
            report: writes table and figure of what was concluded into a folder.
        """
        for what, known, chosen, base in (
            ("orders", orders, "control", control),
            ("schedules", schedules, "constant", constant),
        ):
            _check(what, known, chosen, base)
        check_seeds(seeds)
        runs.check_level(level)
        check_distinct("study.lr_factors", lr_factors, 1, "to train at")
        for name, share in (
            ("warmup_fraction", warmup_fraction),
            ("checkpoint_fraction", checkpoint_fraction),
        ):
            if not 0 < share < 1:
                raise ValueError(f"study.{name} must lie between 0 and 1; got {share}: try 0.03")
        if not passes > 0:
            raise ValueError(f"study.passes must be above 0; got {passes}: 1.0 is one epoch")
        self.orders = {name: dict(own) for name, own in orders.items()}
        self.schedules = {name: dict(own) for name, own in schedules.items()}
        self.control, self.constant = control, constant
        self.scoring, self.column, self.passes = dict(scoring), column, passes
        self.unit = sequences * length * evaluations
        self.warmup_fraction, self.checkpoint_fraction = warmup_fraction, checkpoint_fraction
        self.seeds, self.trial_seed = list(range(1, seeds + 1)), seeds + 1
        self.lr, self.lr_factors = lr, sorted(lr_factors)
        self.level, self.report = level, report

    # ------------------------------------------------------------------------------------ the jobs

    @property
    def pairs(self) -> list[Pair]:
        """Every order with every schedule."""
        return list(product(self.orders, self.schedules))

    def scores(self) -> Job:
        """The job that scores the documents."""
        named = {"scorer.column": self.column}
        return Job(SCORING, "scores", {"task": "score", **self.scoring, **named}, cost=0.01)

    def job(self, pair: Pair, lr: float, seed: int, role: str, tokens: int, folder: Path) -> Job:
        """One run; those of the trials and of the ladder differ in their seeds alone."""
        order, schedule = pair
        overrides = {
            **self.orders[order],
            **self.schedules[schedule],
            "seed": seed,
            "optim.lr": lr,
            "budget.tokens": tokens,
            "schedule.warmup_tokens": int(self.warmup_fraction * tokens),
            "callbacks.averaging.every_tokens": max(1, int(self.checkpoint_fraction * tokens)),
        }
        if SCORE in overrides:
            overrides[SCORE] = str(folder / SCORING / "scores" / f"{self.column}.parquet")
        return Job(f"{order}-{schedule}-lr{math.log2(lr):+.2f}-s{seed}", role, overrides)

    def tokens(self, records: Mapping[str, Record]) -> int | None:
        """Training tokens of a run, in whole evaluations; None before the text is counted."""
        scored = records.get(SCORING)
        if scored is None or not has_ended(scored):
            return None
        return max(1, int(self.passes * scored.data["train_tokens"]) // self.unit) * self.unit

    def trials(self, pair: Pair, tokens: int, folder: Path) -> list[Job]:
        """The learning rates that a pair tries."""
        rates = [self.lr * factor for factor in self.lr_factors]
        return [self.job(pair, lr, self.trial_seed, "trial", tokens, folder) for lr in rates]

    def finals(self, pair: Pair, records: Mapping[str, Record], folder: Path) -> list[Job]:
        """The runs that count: at the best rate of the last weights, and of the average."""
        tokens = self.tokens(records)
        if tokens is None:
            return []
        best = {found["best_lr"] for found in self._tried(pair, records, folder).values()}
        return [
            self.job(pair, lr, seed, "final", tokens, folder)
            for lr in sorted(best - {None})
            for seed in self.seeds
        ]

    # ----------------------------------------------------------------------------------- the study

    def plan(self) -> Sequence[Job]:
        """The scoring: how long the runs are depends on the text that it counts."""
        return [self.scores()]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The scoring; then trials; then the runs at the best rates."""
        tokens = self.tokens(records)
        if tokens is None:
            return missing([self.scores()], records)
        if waiting := missing(
            [job for pair in self.pairs for job in self.trials(pair, tokens, folder)], records
        ):
            return waiting
        return missing(
            [j for pair in self.pairs for j in self.finals(pair, records, folder)], records
        )

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the orders beside the control under every schedule, and reports."""
        tokens = self.tokens(records)
        tried = {} if tokens is None else {
            pair: _rows(pair, self.trials(pair, tokens, folder), records) for pair in self.pairs
        }  # fmt: skip
        rows = {pair: _rows(pair, self.finals(pair, records, folder), records) for pair in tried}
        cells = {pair: self._cells(pair, rows[pair], records, folder) for pair in tried}
        losses = {
            (*pair, average): cell.pop("losses")
            for pair, own in cells.items()
            for average, cell in own.items()
        }
        result = {
            "study": "curriculum_by_decay",
            "control": self.control,
            "constant": self.constant,
            "orders": self.orders,
            "schedules": self.schedules,
            "level": self.level,
            "seeds": self.seeds,
            "tokens": tokens,
            "trials_each": len(self.lr_factors),
            "cells": [
                {"order": order, "schedule": schedule, "average": average, **cell}
                for (order, schedule), own in cells.items()
                for average, cell in own.items()
            ],
            "gains": gains(losses, self.control, self.level),
            "interactions": interactions(losses, self.control, self.constant, self.level),
            "jobs": [line for found in (tried, rows) for own in found.values() for line in own],
            "warnings": [*_notes(records.get(SCORING)), *self._warnings(tokens, cells, rows)],
        }
        self.report(result, folder)
        return result

    def _tried(
        self, pair: Pair, records: Mapping[str, Record], folder: Path
    ) -> dict[str, dict[str, Any]]:
        """What the trials say of the rate, for the last weights and for the average."""
        tokens = self.tokens(records)
        jobs = [] if tokens is None else self.trials(pair, tokens, folder)
        rows = _rows(pair, jobs, records)
        return {
            average: trials([line | {"loss": line[average]} for line in rows], None)
            for average in AVERAGES
        }

    def _cells(
        self, pair: Pair, rows: Sequence[Row], records: Mapping[str, Record], folder: Path
    ) -> dict[str, dict[str, Any]]:
        """What a pair reaches, with its last weights and with their average."""
        found = {}
        for average, tried in self._tried(pair, records, folder).items():
            own = [line for line in rows if line["lr"] == tried["best_lr"]]
            losses = runs.by_seed(own, average)
            about = {"lr": tried["best_lr"], "on_edge": tried["on_edge"], "losses": losses}
            found[average] = runs.summary(losses) | about
        return found

    def _warnings(
        self,
        tokens: int | None,
        cells: Mapping[Pair, Mapping[str, Mapping[str, Any]]],
        rows: Mapping[Pair, Sequence[Row]],
    ) -> list[str]:
        if tokens is None:
            return ["the documents were not scored, so nothing was trained"]
        words = []
        for (order, schedule), own in cells.items():
            for average, cell in own.items():
                if cell["lr"] is None:
                    words.append(f"{order}, {schedule}, {average}: no learning rate gave a loss")
                elif cell["on_edge"] and len(self.lr_factors) > 1:
                    words.append(
                        f"{order}, {schedule}, {average}: the best learning rate lies on the edge "
                        "of the grid"
                    )
        return [*words, *left_out(line for own in rows.values() for line in own)]


def _rows(pair: Pair, jobs: Sequence[Job], records: Mapping[str, Record]) -> list[Row]:
    """Lines with the loss of the last weights and that of their average."""
    found = []
    for job in jobs:
        record = records.get(job.name)
        facts = {"order": pair[0], "schedule": pair[1], "lr": job.overrides["optim.lr"]}
        line = runs.row(job, record, **facts)
        known = record is not None and line["loss"] is not None
        found.append(
            line | {"last": line["loss"], "averaged": _averaged(record) if known else None}
        )
    return found


def _notes(scored: Record | None) -> list[str]:
    """What is to be said of the scores."""
    return [] if scored is None else scored.measurements.get("score", {}).get("notes", [])


def _averaged(record: Record | None) -> float | None:
    """Held-out loss of the averaged weights, where some were averaged."""
    averaged = {} if record is None else record.measurements.get("averaged", {})
    return averaged.get("evaluation", {}).get("loss_nats")


def _check(what: str, known: Mapping[str, Mapping[str, Any]], chosen: str, base: str) -> None:
    try:
        runs.check_variants(known, OWN)
    except ValueError as error:
        raise ValueError(str(error).replace("study.variants", f"study.{what}")) from None
    if base not in known:
        raise ValueError(
            f"study.{chosen} must be one of study.{what}, {', '.join(known)}; got {base}"
        )
