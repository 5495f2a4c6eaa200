"""Which protection survives a fault in training, and what does it cost where there is none?

A variant is a set of overrides: a way to protect training. Every variant is trained twice with each
seed, calm and with the fault, on the same tokens in the same order. With l the held-out loss at the
end,

    excess   = l(variant, fault) - l(reference, calm),  by seed
    premium  = l(variant, calm) - l(reference, calm),   by seed
    slowdown = speed(reference, calm) / speed(variant, calm) - 1

and a run survives when it finishes with an excess of at most `margin`. A protection is worth
something when it survives what the reference does not; it is paid for in premium and slowdown.
Every variant has one trial: nothing is tuned, neither for the fault nor without it.

Source: ours; the fault of Sao 2026, arXiv 2603.13552, is a learning rate 1,000 times too high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies import runs
from windtunnel.studies.figures import means
from windtunnel.studies.members import (
    check_counts,
    check_seeds,
    held_out_loss,
    missing,
    row,
)
from windtunnel.studies.noise import pooled_sd

CALM, FAULT = "calm", "fault"
ARMS = (CALM, FAULT)
OWN = ("model.width", "seed")  # what the study sets itself


class Survival:
    """Variants x calm and fault x seeds, at one width."""

    def __init__(
        self,
        *,
        variants: Mapping[str, Mapping[str, Any]],
        reference: str,
        fault: Mapping[str, Any],
        width: int,
        seeds: int,
        margin: float,
        figures: Sequence[str],
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what would show nothing, before any work.

        Args:
            variants: overrides of every protection, by its name.
            reference: the variant whose calm run the others are measured against.
            fault: overrides that bring the fault about.
            width: width of the model.
            seeds: how many seeds each member gets; they are 1, 2, ...
            margin: largest excess in nats of a run that survives.
            figures: what else is reported of the runs with the fault, as `Compare` takes them.
            n_convention: how parameters are counted in the table.
            flops_convention: how FLOPs are counted in the table.
            report: writes table and figure of what was concluded into a folder.
        """
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        _check_variants(variants, reference, fault)
        if not margin > 0:
            raise ValueError(
                f"study.margin must be above 0 nats, got {margin}: seeds alone differ by some"
            )
        self.variants = {name: dict(own) for name, own in variants.items()}
        self.reference, self.fault, self.width = reference, dict(fault), width
        self.seeds, self.margin = list(range(1, seeds + 1)), margin
        self.figures = list(figures)
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.report = report

    def member(self, variant: str, arm: str, seed: int) -> Job:
        """One job."""
        own = {"model.width": self.width, "seed": seed}
        fault = self.fault if arm == FAULT else {}
        return Job(f"{variant}-{arm}-s{seed}", arm, {**self.variants[variant], **fault, **own})

    def plan(self) -> Sequence[Job]:
        """All jobs, one batch; those of one seed lie together, so that their speeds compare."""
        return [self.member(v, arm, s) for s in self.seeds for arm in ARMS for v in self.variants]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """What has not run yet."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Counts the survivors and what they cost."""
        found = {variant: self._judge(variant, records) for variant in self.variants}
        rows = [row(job, records.get(job.name), **self.counting) for job in self.plan()]
        result = {
            "study": "survival",
            "reference": self.reference,
            "fault": self.fault,
            "margin": self.margin,
            "n_seeds": len(self.seeds),
            "variants": found,
            "verdict": verdict(found, self.reference, len(self.seeds)),
            "jobs": rows,
            "warnings": [f"{line['job']} left no record" for line in rows
                         if line["outcome"] == "missing"],
        }  # fmt: skip
        self.report(result, folder)
        return result

    def _judge(self, variant: str, records: Mapping[str, Record]) -> dict[str, Any]:
        """What a variant's runs show beside the calm runs of the reference."""

        def of(name: str, arm: str) -> list[Record | None]:
            return [records.get(self.member(name, arm, s).name) for s in self.seeds]

        calm, faulted, beside = of(variant, CALM), of(variant, FAULT), of(self.reference, CALM)
        excess = [_difference(a, b) for a, b in zip(faulted, beside, strict=True)]
        present = [record for record in faulted if record is not None]
        return {
            "overrides": self.variants[variant],
            "calm": mean_sd([held_out_loss(record) for record in calm]),
            "fault": mean_sd([held_out_loss(record) for record in faulted]),
            "excess": mean_sd(excess),
            "premium": mean_sd([_difference(a, b) for a, b in zip(calm, beside, strict=True)]),
            "slowdown": mean_sd([_slowdown(a, b) for a, b in zip(calm, beside, strict=True)]),
            "survived": sum(x is not None and x <= self.margin for x in excess),
            "outcomes": ["missing" if x is None else x.outcome for x in faulted],
            "figures": means(present, self.figures, []),
            "curves": {arm: _curve(of(variant, arm)) for arm in ARMS},
        }


def verdict(found: Mapping[str, Mapping[str, Any]], reference: str, n_seeds: int) -> str:
    """Who survives, in one sentence."""
    groups = {"survive": [], "collapse": [], "survive with some seeds": []}
    for name, own in found.items():
        survived = own["survived"]
        key = "survive" if survived == n_seeds else "survive with some seeds"
        groups["collapse" if survived == 0 else key].append(name)
    return "; ".join(f"{key}: {', '.join(names)}" for key, names in groups.items() if names)


def mean_sd(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation of the values there are, with how many."""
    known = [value for value in values if value is not None]
    mean = math.fsum(known) / len(known) if known else None
    return {"mean": mean, "sd": pooled_sd([known]), "n": len(known)}


def _difference(record: Record | None, beside: Record | None) -> float | None:
    """Held-out loss above that of another run; None where one left no loss."""
    losses = held_out_loss(record), held_out_loss(beside)
    return None if losses[0] is None or losses[1] is None else losses[0] - losses[1]


def _slowdown(record: Record | None, beside: Record | None) -> float | None:
    """Time per token above that of another run, as a share."""
    if record is None or beside is None or not record.tokens_per_second:
        return None
    return beside.tokens_per_second / record.tokens_per_second - 1


def _curve(records: Sequence[Record | None]) -> dict[str, Any]:
    """Mean held-out loss against tokens, over the runs that reached each evaluation."""
    losses: dict[int, list[float]] = {}
    for record in records:
        if record is not None:
            for at, loss in zip(record.eval_curve.tokens, record.eval_curve.values, strict=True):
                losses.setdefault(at, []).append(loss)
    tokens = sorted(losses)
    return {"tokens": tokens, "loss": [math.fsum(losses[at]) / len(losses[at]) for at in tokens]}


def _check_variants(
    variants: Mapping[str, Mapping[str, Any]], reference: str, fault: Mapping[str, Any]
) -> None:
    if reference not in variants:
        raise ValueError(
            f"study.reference must be one of study.variants, {', '.join(variants)}; got {reference}"
        )
    if not fault:
        raise ValueError(
            "study.fault must hold the overrides that bring the fault about, got none: give such "
            "as {schedule.factor: 1000} with schedule=spiked"
        )
    runs.check_variants({**variants, "fault": fault}, OWN)
