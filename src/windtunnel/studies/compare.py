"""Which of several designs is best, not at the sizes that were trained but at a larger one?

A variant is a set of overrides: another loss, head, optimiser, network, or values of them. Batch 1
gives every variant the same number of trials, learning rates at one width; batch 2 trains every
variant at its best rate on the same ladder of widths, with seeds that chose no rate, on the same
tokens. A law is fitted to each ladder; it predicts the loss at the target, which is not trained,
and `scaling.designs` says how probable it is that a variant beats the reference there.

Rates are factors of a centre: `lr`, or the variant's own `optim.lr` where its usual rates are
others. A best rate at the end of the grid is said, since that variant may do better.

Source: ours; that a comparison is worth what its tuning was worth: Choi et al. 2019, arXiv
1910.05446. The probability: see `scaling.designs`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.laws import by_name
from windtunnel.studies.figures import means
from windtunnel.studies.members import (
    Row,
    by,
    check_counts,
    check_distinct,
    check_seeds,
    left_out,
    missing,
    row,
    usable,
)
from windtunnel.studies.method import Method
from windtunnel.studies.size import count_at
from windtunnel.studies.standing import Ladder, against, climb, trials

OWN = ("model.width", "seed")  # what the study sets itself


class Compare:
    """Variants x learning rates at one width, then variants x widths x seeds."""

    def __init__(
        self,
        *,
        variants: Mapping[str, Mapping[str, Any]],
        reference: str,
        widths: Sequence[int],
        target_width: int,
        seeds: int,
        lr: float,
        lr_factors: Sequence[float],
        sweep_width: int,
        sweep_seeds: int,
        law: str,
        method: Method,
        n_convention: str,
        flops_convention: str,
        figures: Sequence[str],
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be compared, before any work.

        Args:
            variants: overrides of every variant, by its name.
            reference: the variant that the others are set beside.
            widths: widths of the ladder.
            target_width: width of the model that is predicted; its size is the reference's.
            seeds: how many seeds each width gets; they are 1, 2, ...
            lr: the peak rate that `lr_factors` multiply, where a variant gives no `optim.lr`.
            lr_factors: trials of every variant.
            sweep_width: width at which the rates are tried.
            sweep_seeds: seeds of every trial; they go on from those of the ladder.
            law: name of the scaling law that is fitted.
            method: how to fit and draw intervals.
            n_convention: how parameters are counted in the fit.
            flops_convention: how FLOPs are counted in the table.
            figures: what else is reported of the largest width, by the names of `figures`.
            report: writes table and figure of what was concluded into a folder.
        """
        self.law, self.method = by_name(law), method
        _check_variants(variants, reference)
        n_coefficients = len(self.law.coefficients)
        why = f"to fit the {n_coefficients} coefficients of {law} and judge the fit"
        check_distinct("study.widths", widths, n_coefficients + 1, why)
        check_distinct("study.lr_factors", lr_factors, 3, "for a best one inside")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        if sweep_seeds < 1:
            raise ValueError(
                "study.sweep_seeds is how many seeds each trial gets, at least 1; got "
                f"{sweep_seeds}"
            )
        if sweep_width not in widths:
            raise ValueError(
                f"study.sweep_width must be one of study.widths, {list(widths)}; got {sweep_width}"
            )
        if target_width <= max(widths):
            raise ValueError(
                f"study.target_width must lie beyond study.widths, which end at {max(widths)}; got "
                f"{target_width}, where there is nothing to extrapolate: make it larger"
            )
        self.variants = {name: dict(own) for name, own in variants.items()}
        self.lrs = {n: float(own.pop("optim.lr", lr)) for n, own in self.variants.items()}
        self.reference, self.widths, self.target_width = reference, sorted(widths), target_width
        self.seeds = list(range(1, seeds + 1))
        self.lr_factors, self.sweep_width = sorted(lr_factors), sweep_width
        self.sweep_seeds = list(range(seeds + 1, seeds + sweep_seeds + 1))
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.figures, self.report = list(figures), report

    def sweep(self, variant: str) -> list[Job]:
        """The trials of a variant."""
        width, own = self.sweep_width, self.variants[variant]
        return [
            Job(
                f"{variant}-lr{math.log2(factor):+.2f}-w{width}-s{seed}",
                "sweep",
                {**own, "model.width": width, "seed": seed, "optim.lr": self.lrs[variant] * factor},
                cost=float(width),
            )
            for factor in self.lr_factors
            for seed in self.sweep_seeds
        ]

    def rungs(self, variant: str, lr: float | None) -> list[Job]:
        """The ladder of a variant; without a rate as long as none is known."""
        rate = {} if lr is None else {"optim.lr": lr}
        return [
            Job(
                f"{variant}-w{width}-s{seed}",
                "rung",
                {**self.variants[variant], "model.width": width, "seed": seed, **rate},
                cost=float(width),
            )
            for width in self.widths
            for seed in self.seeds
        ]

    def plan(self) -> Sequence[Job]:
        """All trials, and all ladders, whose rates are not yet known."""
        sweeps = [job for variant in self.variants for job in self.sweep(variant)]
        return [*sweeps, *(job for variant in self.variants for job in self.rungs(variant, None))]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The trials; then the ladder of every variant that has a best rate."""
        sweeps = [job for variant in self.variants for job in self.sweep(variant)]
        if waiting := missing(sweeps, records):
            return waiting
        return missing([job for v in self.variants for job in self._ladder(v, records)], records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Ranks the variants at the target, and reports."""
        loss_0 = self._loss_before_training(records)
        tried = {v: self._rows(v, self.sweep(v), records) for v in self.variants}
        rungs = {v: self._rows(v, self._ladder(v, records), records) for v in self.variants}
        target_n = self._target_n(rungs[self.reference])
        ladders = {v: climb(usable(rows), target_n, self.law, self.method)
                   for v, rows in rungs.items()}  # fmt: skip
        found = {
            variant: {
                "overrides": {**self.variants[variant], "optim.lr": self.lrs[variant]},
                "trials": trials(tried[variant], loss_0),
                "curve": _curve(rungs[variant], records),
                "figures": means(
                    _widest(rungs[variant], records),
                    self.figures,
                    _beside(rungs[variant], rungs[self.reference], records),
                ),
                **ladder.values,
                "against_reference": self._against(ladder, ladders[self.reference], target_n),
            }
            for variant, ladder in ladders.items()
        }
        rows = [line for v in self.variants for line in (*tried[v], *rungs[v])]
        result = {
            "study": "compare",
            "reference": self.reference,
            "law": self.law.name,
            "formula": self.law.formula,
            "n_convention": self.counting["n_convention"],
            "level": self.method.level,
            "target": {"width": self.target_width, "n": target_n},
            "loss_before_training": loss_0,
            "trials_each": len(self.lr_factors),
            "variants": found,
            "jobs": rows,
            "warnings": [*_warnings(found), *left_out(r for r in rows if r["role"] == "rung")],
        }
        self.report(result, folder)
        return result

    def _ladder(self, variant: str, records: Mapping[str, Record]) -> list[Job]:
        """The rungs at the best rate; none where no trial gave a loss."""
        lr = trials(self._rows(variant, self.sweep(variant), records), None)["best_lr"]
        return [] if lr is None else self.rungs(variant, lr)

    def _rows(self, variant: str, jobs: Sequence[Job], records: Mapping[str, Record]) -> list[Row]:
        return [
            row(job, records.get(job.name), **self.counting)
            | {"variant": variant, "lr": job.overrides["optim.lr"]}
            for job in jobs
        ]

    def _target_n(self, rows: Sequence[Row]) -> int | None:
        """Size of the reference at the target's width; None before three widths are known."""
        counts = {line["width"]: line["n"] for line in rows if "n" in line}
        return count_at(self.target_width, counts)[0] if len(counts) >= 3 else None

    def _loss_before_training(self, records: Mapping[str, Record]) -> float | None:
        """Median first training loss of the reference: other losses are on scales of their own."""
        jobs = [*self.sweep(self.reference), *self._ladder(self.reference, records)]
        own = [records[job.name] for job in jobs if job.name in records]
        first = sorted(record.train_curve.values[0] for record in own if record.train_curve.values)
        return first[len(first) // 2] if first else None

    def _against(
        self, ladder: Ladder, reference: Ladder, target_n: int | None
    ) -> dict[str, Any] | None:
        if ladder is reference or target_n is None:
            return None
        return against(ladder, reference, target_n, self.method)


def _check_variants(variants: Mapping[str, Mapping[str, Any]], reference: str) -> None:
    if len(variants) < 2:
        raise ValueError(
            f"study.variants must hold at least 2 variants to compare; got {list(variants)}: give "
            "each a name and its overrides in a recipe, as recipes/harmonic does"
        )
    if reference not in variants:
        raise ValueError(
            f"study.reference must be one of study.variants, {', '.join(variants)}; got {reference}"
        )
    for name, own in variants.items():
        if not re.fullmatch(r"\w+", name):
            raise ValueError(
                f"study.variants: a name may hold letters, digits and _, since folders are called "
                f"by it; got {name!r}: rename it"
            )
        for key in OWN:
            if key in own:
                raise ValueError(
                    f"study.variants.{name}: {key} is set by the study for each of its jobs; leave "
                    "it out"
                )


def _curve(rows: Sequence[Row], records: Mapping[str, Record]) -> dict[str, list[float]]:
    """Mean held-out loss over seeds against tokens, at the widest that finished."""
    curves = [record.eval_curve for record in _widest(rows, records)]
    if not curves:
        return {"tokens": [], "loss": []}
    losses = zip(*(curve.values for curve in curves), strict=True)
    return {
        "tokens": list(curves[0].tokens),
        "loss": [math.fsum(values) / len(curves) for values in losses],
    }


def _widest(rows: Sequence[Row], records: Mapping[str, Record]) -> list[Record]:
    """The records of the widest runs that finished."""
    widths = by(usable(rows), "width")
    return [records[line["job"]] for line in widths[max(widths)]] if widths else []


def _beside(
    rows: Sequence[Row], reference: Sequence[Row], records: Mapping[str, Record]
) -> list[Record]:
    """The records of the reference at the width where a variant is the widest."""
    width = max((line["width"] for line in usable(rows)), default=None)
    return [records[line["job"]] for line in usable(reference) if line["width"] == width]


def _warnings(variants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What weakens the comparison, in words."""
    words = []
    for name, own in variants.items():
        tried = own["trials"]
        if tried["best_lr"] is None:
            words.append(f"{name}: no learning rate gave a loss, so it has no ladder")
        elif tried["on_edge"]:
            words.append(f"{name}: the best learning rate lies on the edge of the grid")
        words += [f"{name}: {said}" for said in own["warnings"]]
    return words
