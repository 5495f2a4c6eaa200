"""What loss would remain with endless parameters and endless data, beside what truly remains.

Widths x token budgets x seeds, each its own run whose schedule completes. The joint law
L = E + A / N^alpha + B / D^beta is fitted, and its constant E set beside the entropy rate of the
source where that is known. Beside it stands the constant c of L = a N^b + c fitted at each fixed
budget: it estimates E + B / D^beta, so it lies above E by what the data, not the width, leaves.

Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.3 (joint law).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
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
from windtunnel.studies.noise import pooled_sd

ABOVE = 1.05  # an entropy rate this much higher must lie outside the interval


class Joint:
    """Widths x token budgets x seeds, fitted together."""

    def __init__(
        self,
        *,
        widths: Sequence[int],
        budgets: Sequence[int],
        seeds: int,
        method: Method,
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses a grid that could not tell parameters from data, before any work.

        Args:
            widths: widths of the models.
            budgets: training tokens of the runs.
            seeds: how many seeds each member gets; they are 1, 2, ...
            method: how to fit and draw intervals.
            n_convention: how parameters are counted in the fit.
            flops_convention: how FLOPs are counted in the table.
            report: writes table and figure of what was concluded into a folder.
        """
        self.law, self.fixed_law = Chinchilla(), PowerLawConstant()
        n_fixed = len(self.fixed_law.coefficients)
        why = (
            f"to fit the {n_fixed} coefficients of {self.fixed_law.name} and leave one to judge it"
        )
        check_distinct("study.widths", widths, n_fixed + 1, why)
        check_distinct("study.budgets", budgets, 3, "to fit how the loss falls with the tokens")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        self.widths, self.budgets = sorted(widths), sorted(budgets)
        self.seeds = list(range(1, seeds + 1))
        self.method = method
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.report = report

    def plan(self) -> Sequence[Job]:
        """All jobs, one batch."""
        return [
            Job(
                f"w{width}-d{tokens}-s{seed}",
                "grid",
                {"model.width": width, "budget.tokens": tokens, "seed": seed},
                cost=float(width * tokens),
            )
            for width in self.widths
            for tokens in self.budgets
            for seed in self.seeds
        ]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """What has not run yet."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Fits the joint law, and at each budget the law of N alone."""
        rows = [row(job, records.get(job.name), **self.counting) for job in self.plan()]
        for job, line in zip(self.plan(), rows, strict=True):
            line["budget"] = job.overrides["budget.tokens"]
        points = usable(rows)
        result: dict[str, Any] = {
            "study": "joint",
            "law": self.law.name,
            "formula": self.law.formula,
            "n_convention": self.counting["n_convention"],
            "level": self.method.level,
            "parameters": None,
            "intervals": {},
            "constant": None,
            "truth": None,
            "fixed": {},
            "checks": {},
            "seed_sd": pooled_sd(
                [[line["loss"] for line in own] for own in _cells(points).values()]
            ),
            "jobs": rows,
            "warnings": left_out(rows),
        }
        result["truth"] = _entropy_rate(records)
        designs = {(line["n"], line["tokens"]) for line in points}
        if len(designs) <= len(self.law.coefficients):
            result["warnings"].append(
                f"nothing was fitted: {len(designs)} sizes and budgets hold a loss, and "
                f"{self.law.name} needs {len(self.law.coefficients) + 1}"
            )
        else:
            result |= self._fitted(points, result)
        self.report(result, folder)
        return result

    def _fitted(self, points: Sequence[Row], result: Mapping[str, Any]) -> dict[str, Any]:
        """The part of the result that a fit gives."""
        x = {"N": _column(points, "n"), "D": _column(points, "tokens")}
        fitted = self.method.fit(self.law, x, _column(points, "loss"))
        intervals = self.method.coefficients(fitted)
        low, high = intervals[self.law.constant]
        constant = {"value": fitted.parameters[self.law.constant], "low": low, "high": high}
        truth, fixed = result["truth"], self._fixed(points)
        checks = {}
        if truth is not None:
            checks = {
                "interval contains the entropy rate": low <= truth <= high,
                "interval excludes one 5 % higher": not low <= truth * ABOVE <= high,
            }
        return {
            "parameters": fitted.parameters,
            "intervals": {name: _finite(pair) for name, pair in intervals.items()},
            "constant": constant,
            "fixed": fixed,
            "why_fixed_is_higher": _why(constant, fixed, fitted.parameters),
            "checks": checks,
            "warnings": [*result["warnings"], *fitted.warnings],
        }

    def _fixed(self, points: Sequence[Row]) -> dict[str, Any]:
        """The constant of the law of N alone, at each budget that has enough widths."""
        found = {}
        for tokens, own in by(points, "budget").items():
            if len(by(own, "width")) > len(self.fixed_law.coefficients):
                fitted = self.method.fit(
                    self.fixed_law, {"N": _column(own, "n")}, _column(own, "loss")
                )
                low, high = self.method.coefficients(fitted)[self.fixed_law.constant]
                found[str(tokens)] = {
                    "value": fitted.parameters[self.fixed_law.constant],
                    "low": low,
                    "high": high,
                }
        return found


def _cells(points: Sequence[Row]) -> dict[tuple[int, int], list[Row]]:
    """Rows that differ in their seed only."""
    cells: dict[tuple[int, int], list[Row]] = {}
    for line in points:
        cells.setdefault((line["width"], line["budget"]), []).append(line)
    return cells


def _finite(pair: Sequence[float]) -> list[float | None]:
    """Ends of an interval, None where it has no end."""
    return [end if np.isfinite(end) else None for end in pair]


def _column(rows: Sequence[Row], key: str) -> np.ndarray:
    return np.array([line[key] for line in rows], float)


def _entropy_rate(records: Mapping[str, Record]) -> float | None:
    """The entropy rate that the source states, where it knows it."""
    rates = {record.data.get("entropy_rate_nats") for record in records.values()} - {None}
    return rates.pop() if len(rates) == 1 else None


def _why(
    constant: Mapping[str, float], fixed: Mapping[str, Any], theta: Mapping[str, float]
) -> str:
    """In words why the constant at a fixed budget lies higher."""
    if not fixed:
        return "no budget had enough widths for a fit at fixed tokens"
    tokens = max(fixed, key=int)
    rest = theta["B"] / float(tokens) ** theta["beta"]
    return (
        f"at {int(tokens):,} tokens the constant of the fit in N alone is "
        f"{fixed[tokens]['value']:.4f}, not {constant['value']:.4f}: with the data held fixed, "
        f"what finite data leaves, B / D^beta = {rest:.4f} nats, is the same for every width and "
        "is folded into the constant"
    )
