"""Which tokenizer is best, at equal compute and at equal text?

Loss per token does not compare across tokenizers; bits per byte of the same held-out text do.

Batch 1 probes every tokenizer with a few steps: its record says how many bytes of training text a
token holds, how long the held-out text is, and what a token costs in FLOPs, which grows with the
vocabulary by way of the head. Batch 2 gives every tokenizer the same number of trials, learning
rates at equal compute. Batch 3 trains every tokenizer at its best rate, with seeds that chose none,

    at equal compute   tokens = F / flops_per_token    F: what the reference spends on `text_bytes`
    at equal text      tokens = text_bytes / bytes_per_token

each rounded to whole evaluations, with a warm-up in proportion. The whole held-out text is scored.

Source: bits per byte, Gao et al. 2020, arXiv 2101.00027, section 3.1; the study is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from windtunnel.interfaces import Job, Record
from windtunnel.studies import runs
from windtunnel.studies.members import (
    FLOPS_CONVENTIONS,
    Row,
    check_distinct,
    check_seeds,
    has_ended,
    left_out,
    missing,
)
from windtunnel.studies.standing import trials
from windtunnel.studies.tokenizer_cost import Cost, bits_curve, cost

OWN = (
    "seed", "optim.lr", "budget.tokens", "budget.evaluations", "schedule.warmup_tokens",
    "data.eval_tokens",
)  # fmt: skip
BASES = ("compute", "text")
Basis = Literal["compute", "text"]


class Tokenizers:
    """Probes; then tokenizers x learning rates; then tokenizers x seeds, twice."""

    def __init__(
        self,
        *,
        variants: Mapping[str, Mapping[str, Any]],
        reference: str,
        text_bytes: int,
        probe_tokens: int,
        warmup_fraction: float,
        evaluations: int,
        seeds: int,
        lr: float,
        lr_factors: Sequence[float],
        flops_convention: str,
        level: float,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be compared, before any work.

        Args:
            variants: overrides of every tokenizer, by its name.
            reference: the tokenizer that the others are set beside.
            text_bytes: training text of every run at equal text, in bytes.
            probe_tokens: training tokens of a probe.
            warmup_fraction: share of every run over which the rate warms up.
            evaluations: held-out evaluations of every run.
            seeds: how many seeds each tokenizer gets; they are 1, 2, ...
            lr: the peak rate that `lr_factors` multiply.
            lr_factors: trials of every tokenizer.
            flops_convention: how FLOPs are counted.
            level: probability that the interval of a difference claims.
            report: writes table and figure of what was concluded into a folder.
        """
        runs.check_variants(variants, OWN)
        if reference not in variants:
            raise ValueError(
                f"study.reference must be one of study.variants, {', '.join(variants)}; got "
                f"{reference}"
            )
        check_seeds(seeds)
        runs.check_level(level)
        check_distinct("study.lr_factors", lr_factors, 1, "to train at")
        if not 0 <= warmup_fraction < 1:
            raise ValueError(
                f"study.warmup_fraction must lie in [0, 1); got {warmup_fraction}: 0.1 is usual"
            )
        if flops_convention not in FLOPS_CONVENTIONS:
            raise ValueError(
                f"study.flops_convention must be one of {', '.join(FLOPS_CONVENTIONS)}; got "
                f"{flops_convention!r}: set it to one of them"
            )
        self.variants = {name: dict(own) for name, own in variants.items()}
        self.reference, self.text_bytes, self.probe_tokens = reference, text_bytes, probe_tokens
        self.warmup_fraction, self.evaluations = warmup_fraction, evaluations
        self.lr, self.lr_factors = lr, sorted(lr_factors)
        self.flops_convention, self.level, self.report = flops_convention, level, report
        self.seeds, self.trial_seed = list(range(1, seeds + 1)), seeds + 1

    # ------------------------------------------------------------------------------------ the jobs

    def probes(self) -> list[Job]:
        """A few steps with every tokenizer."""
        few = {
            "budget.tokens": self.probe_tokens,
            "budget.evaluations": 1,
            "schedule.warmup_tokens": 0,
            "data.eval_tokens": 1,
        }
        return [
            Job(f"{name}-probe", "probe", {**own, "seed": self.trial_seed, **few}, cost=0.01)
            for name, own in self.variants.items()
        ]

    def trials(self, name: str, costs: Mapping[str, Cost]) -> list[Job]:
        """The learning rates that a tokenizer tries."""
        return [
            self._job(name, f"lr{math.log2(factor):+.2f}", "trial", self.trial_seed, costs,
                      "compute", self.lr * factor)
            for factor in self.lr_factors
        ]  # fmt: skip

    def finals(self, name: str, basis: Basis, costs: Mapping[str, Cost], lr: float) -> list[Job]:
        """The runs that count; those of the reference are the same on both bases."""
        if name == self.reference:
            basis = "compute"
        return [self._job(name, basis, basis, seed, costs, basis, lr) for seed in self.seeds]

    def _job(
        self,
        name: str,
        what: str,
        role: str,
        seed: int,
        costs: Mapping[str, Cost],
        basis: Basis,
        lr: float,
    ) -> Job:
        tokens = self.tokens(name, basis, costs)
        overrides = {
            **self.variants[name],
            "seed": seed,
            "optim.lr": lr,
            "budget.tokens": tokens,
            "schedule.warmup_tokens": int(self.warmup_fraction * tokens),
            "data.eval_tokens": costs[name].held_out_tokens,
        }
        return Job(f"{name}-{what}-s{seed}", role, overrides, tokens * costs[name].flops_per_token)

    def tokens(self, name: str, basis: Basis, costs: Mapping[str, Cost]) -> int:
        """Training tokens of a run, in whole evaluations."""
        own, reference = costs[name], costs[self.reference]
        exact = self.text_bytes / own.bytes_per_token
        if basis == "compute":
            spent = self.text_bytes / reference.bytes_per_token * reference.flops_per_token
            exact = spent / own.flops_per_token
        unit = own.tokens_per_step * self.evaluations
        return max(1, round(exact / unit)) * unit

    # ----------------------------------------------------------------------------------- the study

    def plan(self) -> Sequence[Job]:
        """The probes: what follows depends on them."""
        return self.probes()

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """Probes; then trials; then the runs at the best rates."""
        if waiting := missing(self.probes(), records):
            return waiting
        costs = self._costs(records)
        if waiting := missing([j for name in costs for j in self.trials(name, costs)], records):
            return waiting
        return missing(self._finals(records, costs), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the tokenizers beside each other, and reports."""
        costs = self._costs(records)
        tried = {n: self._rows(n, None, self.trials(n, costs), records) for n in costs}
        final = {
            basis: {
                name: self._rows(name, basis, self._of(name, basis, records, costs), records)
                for name in costs
            }
            for basis in BASES
        }
        rows = [line for own in tried.values() for line in own]
        counted = {line["job"]: line for own in final.values() for x in own.values() for line in x}
        result = {
            "study": "tokenizers",
            "reference": self.reference,
            "text_bytes": self.text_bytes,
            "flops_convention": self.flops_convention,
            "level": self.level,
            "seeds": self.seeds,
            "tokenizers": {
                name: self._tokenizer(name, costs, tried[name], final, records) for name in costs
            },
            "jobs": [*rows, *counted.values()],
            "warnings": [*self._warnings(costs, records), *left_out(counted.values())],
        }
        self.report(result, folder)
        return result

    def _costs(self, records: Mapping[str, Record]) -> dict[str, Cost]:
        """What the probes say; empty while the reference's is missing."""
        found = {}
        for job in self.probes():
            record = records.get(job.name)
            if record is not None and has_ended(record):
                found[job.name.removesuffix("-probe")] = cost(record, self.flops_convention)
        return found if self.reference in found else {}

    def _of(
        self, name: str, basis: Basis, records: Mapping[str, Record], costs: Mapping[str, Cost]
    ) -> list[Job]:
        """The runs that count; none where no trial gave a loss."""
        lr = trials(self._rows(name, None, self.trials(name, costs), records), None)["best_lr"]
        return [] if lr is None else self.finals(name, basis, costs, lr)

    def _finals(self, records: Mapping[str, Record], costs: Mapping[str, Cost]) -> list[Job]:
        jobs = [
            j for name in costs for basis in BASES for j in self._of(name, basis, records, costs)
        ]
        return list({job.name: job for job in jobs}.values())

    def _rows(
        self, name: str, basis: Basis | None, jobs: Sequence[Job], records: Mapping[str, Record]
    ) -> list[Row]:
        found = []
        for job in jobs:
            record = records.get(job.name)
            line = runs.row(job, record, tokenizer=name, lr=job.overrides["optim.lr"])
            if record is not None and record.evaluation is not None and line["loss"] is not None:
                line |= {
                    "bits_per_byte": record.evaluation.bits_per_byte,
                    "flops": record.train_flops[self.flops_convention],
                }
            found.append(line)
        return found

    def _tokenizer(
        self,
        name: str,
        costs: Mapping[str, Cost],
        tried: Sequence[Row],
        final: Mapping[str, Mapping[str, Sequence[Row]]],
        records: Mapping[str, Record],
    ) -> dict[str, Any]:
        probe = records[f"{name}-probe"]
        return {
            "overrides": self.variants[name],
            "vocab_size": probe.data["vocab_size"],
            "parameters": dict(probe.parameters),
            "flops_per_token": costs[name].flops_per_token,
            "train_bytes_per_token": costs[name].bytes_per_token,
            "measured": probe.measurements.get("tokenizer"),
            "trials": trials(tried, None),
            **{basis: self._basis(name, final[basis], costs, records) for basis in BASES},
        }

    def _basis(
        self,
        name: str,
        rows: Mapping[str, Sequence[Row]],
        costs: Mapping[str, Cost],
        records: Mapping[str, Record],
    ) -> dict[str, Any]:
        """Bits per byte on one basis, with the text and the compute that they took."""
        own = runs.by_seed(rows[name], "bits_per_byte")
        reference = runs.by_seed(rows[self.reference], "bits_per_byte")
        known = [records[line["job"]] for line in rows[name] if line["loss"] is not None]
        tokens = known[0].tokens if known else None
        return {
            **runs.summary(own),
            "less_reference": None
            if name == self.reference
            else runs.difference(own, reference, self.level),
            "tokens": tokens,
            "bytes": None if tokens is None else tokens * costs[name].bytes_per_token,
            "flops": None if tokens is None else tokens * costs[name].flops_per_token,
            "seconds": sum(r.seconds for r in known) / len(known) if known else None,
            "curve": bits_curve(known, costs[name]),
        }

    def _warnings(self, costs: Mapping[str, Cost], records: Mapping[str, Record]) -> list[str]:
        words = []
        for name in self.variants:
            if name not in costs:
                words.append(f"{name}: its probe left nothing, so it is not compared")
                continue
            found = trials(self._rows(name, None, self.trials(name, costs), records), None)
            if found["best_lr"] is None:
                words.append(f"{name}: no learning rate gave a loss")
            elif found["on_edge"] and len(self.lr_factors) > 1:
                words.append(f"{name}: the best learning rate lies on the edge of the grid")
            longest = max(self.tokens(name, basis, costs) for basis in BASES)
            there = records[f"{name}-probe"].data["train_tokens"]
            if longest > there:
                words.append(f"{name}: sees its text up to {longest / there:.1f} times over")
        return words
