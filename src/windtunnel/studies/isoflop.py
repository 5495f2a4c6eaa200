"""The best model size for a budget of FLOPs, found in three ways from the same runs.

Batch 1 trains three of the widths for one step, which tells how many parameters every width has.
Batch 2 trains every width at every budget, on D = C / (6 N) tokens with a schedule that ends there.
From these runs come the envelope of the training curves (approach 1), a parabola per budget
(approach 2) and a joint law (approach 3), each with the size that it gives for a larger budget.

Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.

Axes: M points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.optimum import FLOPS_FACTOR
from windtunnel.studies.approaches import approaches
from windtunnel.studies.members import (
    Row,
    check_counts,
    check_distinct,
    check_seeds,
    has_ended,
    left_out,
    missing,
    row,
    usable,
)
from windtunnel.studies.method import Method
from windtunnel.studies.size import count_at

N_PROBES = 3  # a count is a polynomial of degree 2 in the width
LEAST_SIZES = 4  # of a budget, for a parabola and one more


class IsoFlop:
    """Widths x budgets x seeds, and three ways to the best size."""

    def __init__(
        self,
        *,
        widths: Sequence[int],
        budgets_flops: Sequence[float],
        target_flops: float,
        most_tokens: int,
        warmup_tokens: int,
        sequences: int,
        length: int,
        seeds: int,
        method: Method,
        n_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses a grid without an optimum to find, before any work.

        Args:
            widths: widths of the models.
            budgets_flops: FLOPs of the runs, C = 6 N D.
            target_flops: the budget whose best size is predicted.
            most_tokens: a run that would need more is left out.
            warmup_tokens: tokens over which every run warms up.
            sequences: sequences of a batch.
            length: tokens of a sequence.
            seeds: how many seeds each member gets; they are 1, 2, ...
            method: how to fit and draw intervals.
            n_convention: how parameters are counted.
            report: writes table and figure of what was concluded into a folder.
        """
        why = "for a parabola through each budget, and one to judge it"
        check_distinct("study.widths", widths, LEAST_SIZES, why)
        check_distinct("study.budgets_flops", budgets_flops, 2, "for a line through their optima")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention="kaplan")
        if target_flops <= max(budgets_flops):
            raise ValueError(
                f"study.target_flops must lie beyond study.budgets_flops, which end at "
                f"{max(budgets_flops):g}; got {target_flops:g}: make it larger"
            )
        self.widths, self.budgets_flops = sorted(widths), sorted(budgets_flops)
        self.target_flops, self.most_tokens = target_flops, most_tokens
        self.warmup_tokens, self.tokens_per_step = warmup_tokens, sequences * length
        self.seeds = list(range(1, seeds + 1))
        self.method, self.n_convention, self.report = method, n_convention, report

    def probes(self) -> list[Job]:
        """One step of three widths, for their parameter counts."""
        tokens = self.tokens_per_step
        return [
            Job(
                f"probe-w{width}",
                "probe",
                {
                    "model.width": width,
                    "budget.tokens": tokens,
                    "budget.evaluations": 1,
                    "schedule.warmup_tokens": 0,
                    "seed": 1,
                },
                cost=0.05,
            )
            for width in self.widths[:N_PROBES]
        ]

    def sizes(self, records: Mapping[str, Record]) -> dict[int, int]:
        """Parameters of every width, from those of the probes."""
        known = {
            job.overrides["model.width"]: records[job.name].parameters[self.n_convention]
            for job in self.probes()
            if has_ended(records.get(job.name))
        }
        if len(known) < N_PROBES:
            return {}
        return {width: count_at(width, known)[0] for width in self.widths}

    def grid(self, sizes: Mapping[int, int]) -> list[tuple[float, Job]]:
        """Budget and job of every run; none before the sizes are known.

        Raises:
            ValueError: a budget leaves too few sizes, or buys no more than the warm-up.
        """
        jobs = []
        for flops in self.budgets_flops if sizes else ():
            tokens = {w: self._tokens(flops, n) for w, n in sizes.items()}
            tokens = {w: tokens[w] for w in tokens if tokens[w] <= self.most_tokens}
            if len(tokens) < LEAST_SIZES:
                raise ValueError(
                    f"study.budgets_flops: {flops:g} FLOPs leave {len(tokens)} widths with at most "
                    f"study.most_tokens={self.most_tokens} tokens, of {LEAST_SIZES} that a "
                    "parabola needs: lower the budget, or add larger widths"
                )
            if min(tokens.values()) <= self.warmup_tokens:
                raise ValueError(
                    f"study.budgets_flops: {flops:g} FLOPs buy width {max(tokens)} no more than "
                    f"{min(tokens.values())} tokens, and the warm-up takes {self.warmup_tokens}: "
                    "raise the budget, or leave the largest width out"
                )
            jobs += [(flops, _job(w, tokens[w], flops, s)) for w in tokens for s in self.seeds]
        return jobs

    def plan(self) -> Sequence[Job]:
        """The probes, and one job per width, budget and seed, whose tokens are not yet known."""
        cells = [(w, c, s) for c in self.budgets_flops for w in self.widths for s in self.seeds]
        return [*self.probes(), *(_job(w, None, c, s) for w, c, s in cells)]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The probes; then the grid."""
        runs = [job for _, job in self.grid(self.sizes(records))]
        return missing(self.probes(), records) or missing(runs, records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Finds the best size of each budget, and that of the target, in three ways."""
        sizes = self.sizes(records)
        rows = [
            self._row(job, records.get(job.name)) | {"budget_flops": flops}
            for flops, job in self.grid(sizes)
        ]
        found = approaches(
            usable(rows), self.target_flops, self.method, budgets_flops=self.budgets_flops
        )
        result = {
            "study": "isoflop",
            "n_convention": self.n_convention,
            "level": self.method.level,
            "budgets_flops": self.budgets_flops,
            "target_flops": self.target_flops,
            "approaches": found["approaches"],
            "law": found["law"],
            "jobs": rows,
            "warnings": [*left_out(rows), *found["warnings"]],
        }
        if not sizes:
            result["warnings"].append("the probes did not end: no size is known; run it again")
        self.report(result, folder)
        return result

    def _tokens(self, flops: float, n: int) -> int:
        """The tokens that a budget buys for `n` parameters, in whole steps."""
        steps = round(flops / FLOPS_FACTOR / n / self.tokens_per_step)
        return max(1, steps) * self.tokens_per_step

    def _row(self, job: Job, record: Record | None) -> Row:
        line = row(job, record, n_convention=self.n_convention, flops_convention="kaplan")
        if record is not None:
            line["curve"] = {"tokens": record.eval_curve.tokens, "loss": record.eval_curve.values}
        return line


def _job(width: int, tokens: int | None, flops: float, seed: int) -> Job:
    overrides = {"model.width": width, "seed": seed}
    overrides |= {} if tokens is None else {"budget.tokens": tokens}
    return Job(f"w{width}-c{flops:.3g}-s{seed}", "grid", overrides, cost=flops / 1e10 / width)
