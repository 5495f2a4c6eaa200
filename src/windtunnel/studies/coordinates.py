"""Do activations keep their size when the model grows?

Short jobs over widths x seeds under the chosen parametrisation and a control. Per layer and step
the slope of log2(mean |x|) on log2(width), with the logarithm averaged over seeds: 0 means that the
size does not depend on the width. muP passes when from `from_step` on every slope lies in
[low, high]; the control, a parametrisation known to fail, must exceed `control_above` somewhere,
else the test could not have seen a fault.

Source: Yang et al. 2022, arXiv 2203.03466, appendix D.1; the numeric criterion is this project's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies.members import (
    check_counts,
    check_distinct,
    check_seeds,
    missing,
    row,
)

MAIN, CONTROL = "main", "control"
Sizes = dict[str, dict[str, dict[int, float]]]  # step -> layer -> width -> log2 mean |x|


class Coordinates:
    """Widths x seeds, under a parametrisation and its control."""

    def __init__(
        self,
        *,
        widths: Sequence[int],
        seeds: int,
        control: str | None,
        from_step: int,
        low: float,
        high: float,
        control_above: float,
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not give a slope, before any work.

        Args:
            widths: widths of the models.
            seeds: how many seeds each member gets; they are 1, 2, ...
            control: name of the parametrisation that should fail, or None.
            from_step: the first step whose slopes are judged.
            low: lowest slope that passes.
            high: highest slope that passes.
            control_above: slope that the control must exceed somewhere.
            n_convention: how parameters are counted in the table.
            flops_convention: how FLOPs are counted in the table.
            report: writes table and figure of what was concluded into a folder.
        """
        check_distinct("study.widths", widths, 3, "for a slope that one of them can contradict")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        if not low < high:
            raise ValueError(f"study.low must lie below study.high; got {low} and {high}")
        self.widths, self.seeds = sorted(widths), list(range(1, seeds + 1))
        self.arms: dict[str, str | None] = {MAIN: None} | ({CONTROL: control} if control else {})
        self.from_step, self.low, self.high = from_step, low, high
        self.control_above = control_above
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.report = report

    def plan(self) -> Sequence[Job]:
        """All jobs, one batch."""
        return [
            _job(arm, parametrization, width, seed)
            for arm, parametrization in self.arms.items()
            for width in self.widths
            for seed in self.seeds
        ]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """What has not run yet."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Measures the slopes of both arms and judges them."""
        rows, sizes, warnings = [], {}, []
        for arm in self.arms:
            jobs = [job for job in self.plan() if job.role == arm]
            rows += [row(job, records.get(job.name), **self.counting) for job in jobs]
            sizes[arm] = gather(jobs, records)
            warnings += [f"{job.name} left no sizes" for job in jobs if not measured(job, records)]
        arms = {arm: {"sizes": _listed(own), "slopes": slopes(own)} for arm, own in sizes.items()}
        result = {
            "study": "coordinates",
            "control": self.arms.get(CONTROL),
            "from_step": self.from_step,
            "low": self.low,
            "high": self.high,
            "control_above": self.control_above,
            "arms": arms,
            "verdict": self.verdict(arms),
            "jobs": rows,
            "warnings": warnings,
        }
        self.report(result, folder)
        return result

    def verdict(self, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Says in words whether sizes keep, with the extremes that it rests on."""
        main = self._judged(arms[MAIN]["slopes"])
        lowest, highest = (min(main), max(main)) if main else (None, None)
        held = bool(main) and self.low <= min(main) and max(main) <= self.high
        checks = {f"every slope within [{self.low}, {self.high}]": held}
        worst = None
        if CONTROL in arms:
            control = self._judged(arms[CONTROL]["slopes"])
            worst = max(control) if control else None
            checks[f"control above {self.control_above} somewhere"] = (
                worst is not None and worst > self.control_above
            )
        if not main:
            words = f"undecided: no sizes were measured from step {self.from_step} on"
        elif not held:
            words = "activations change size with the width: the parametrisation fails"
        elif worst is None:
            words = "activations keep their size; no control was measured beside them"
        elif worst <= self.control_above:
            words = (
                "inconclusive: the control keeps its size as well, so this test would not have "
                "seen a fault; raise the learning rate or the widths"
            )
        else:
            words = "activations keep their size, and under the control they do not"
        return {
            "words": words,
            "checks": checks,
            "lowest": lowest,
            "highest": highest,
            "control_highest": worst,
        }

    def _judged(self, slopes: Mapping[str, Mapping[str, float | None]]) -> list[float]:
        """Slopes from `from_step` on."""
        return [
            slope
            for step, layers in slopes.items()
            if int(step) >= self.from_step
            for slope in layers.values()
            if slope is not None
        ]


def measured(job: Job, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Mean |x| by step and layer that a job recorded."""
    record = records.get(job.name)
    return {} if record is None else record.measurements.get("coordinates", {})


def gather(jobs: Sequence[Job], records: Mapping[str, Record]) -> Sizes:
    """Mean over seeds of log2 mean |x|; sizes that are zero or not finite are left out."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for job in jobs:
        for step, layers in measured(job, records).items():
            for layer, size in layers.items():
                # A diverged member writes null or a value that is not finite.
                if size is not None and math.isfinite(size) and size > 0:
                    key = (str(step), layer, job.overrides["model.width"])
                    found.setdefault(key, []).append(math.log2(size))
    sizes: Sizes = {}
    for (step, layer, width), logs in found.items():
        layers = sizes.setdefault(step, {})
        layers.setdefault(layer, {})[width] = math.fsum(logs) / len(logs)
    return dict(sorted(sizes.items(), key=lambda item: int(item[0])))


def slopes(sizes: Sizes) -> dict[str, dict[str, float | None]]:
    """Slope of log2 mean |x| on log2 width by step and layer; None under three widths."""
    return {
        step: {layer: _slope(points) for layer, points in layers.items()}
        for step, layers in sizes.items()
    }


def _slope(points: Mapping[int, float]) -> float | None:
    """Least-squares slope on log2 width."""
    if len(points) < 3:
        return None
    x = [math.log2(width) for width in points]
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(points.values()) / len(x)
    across = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, points.values(), strict=True))
    return across / math.fsum((a - mean_x) ** 2 for a in x)


def _listed(sizes: Sizes) -> dict[str, Any]:
    """Sizes as lists that JSON can hold."""
    return {
        step: {
            layer: {"widths": sorted(points), "log2": [points[w] for w in sorted(points)]}
            for layer, points in layers.items()
        }
        for step, layers in sizes.items()
    }


def _job(arm: str, parametrization: str | None, width: int, seed: int) -> Job:
    # Compiled graphs have no place for the hooks that measure sizes.
    overrides: dict[str, Any] = {"model.width": width, "seed": seed, "trainer.compile": False}
    if parametrization is not None:
        overrides["parametrization"] = parametrization
    return Job(f"{arm}-w{width}-s{seed}", arm, overrides, cost=float(width))
