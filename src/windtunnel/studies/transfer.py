"""Does the best learning rate of a narrow model stay the best when the model grows?

Learning rates x widths x seeds, under the chosen parametrisation and, beside it, under a control.
Per width the best rate is the smooth minimum: the vertex of the parabola in log2(rate) through the
lowest mean loss and its two neighbours. Movement is counted in factors of 2.

    sensitivity = mean over rates of [min(loss, loss_0) - loss_best],  loss_0: before training

Source: Yang et al. 2022, arXiv 2203.03466 (transfer); Wortsman et al. 2023, arXiv 2309.14322,
section 2.2 (sensitivity).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies.members import (
    Row,
    by,
    check_counts,
    check_distinct,
    check_seeds,
    mean_loss,
    missing,
    row,
)
from windtunnel.studies.noise import pooled_sd

STEPS_HELD = 1  # factors of 2 that the best rate may move where it transfers
STEPS_LOST = 2  # factors of 2 that the control must move for the test to mean anything
EXCESS_SDS = 2  # seed standard deviations that the base width's best rate may cost
MAIN, CONTROL = "main", "control"


class Transfer:
    """Learning rates x widths x seeds, and the same under a control parametrisation."""

    def __init__(
        self,
        *,
        lrs: Sequence[float],
        widths: Sequence[int],
        base_width: int,
        seeds: int,
        control: str | None,
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses a grid that could not show a minimum, before any work.

        Args:
            lrs: peak learning rates, each twice the one before.
            widths: widths of the models.
            base_width: the width whose best rate the others are given.
            seeds: how many seeds each member gets; they are 1, 2, ...
            control: name of the parametrisation to set beside, or None.
            n_convention: how parameters are counted in the table.
            flops_convention: how FLOPs are counted in the table.
            report: writes table and figure of what was concluded into a folder.
        """
        check_distinct("study.lrs", lrs, 3, "for a minimum with a neighbour on either side")
        check_distinct("study.widths", widths, 2, "to see anything move")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        if base_width not in widths:
            raise ValueError(
                f"study.base_width must be one of study.widths, {list(widths)}; got {base_width}"
            )
        self.lrs, self.widths, self.base_width = sorted(lrs), sorted(widths), base_width
        self.seeds = list(range(1, seeds + 1))
        self.arms: dict[str, str | None] = {MAIN: None} | ({CONTROL: control} if control else {})
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.report = report

    def plan(self) -> Sequence[Job]:
        """All jobs, one batch."""
        return [
            _job(arm, parametrization, width, lr, seed)
            for arm, parametrization in self.arms.items()
            for width in self.widths
            for lr in self.lrs
            for seed in self.seeds
        ]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """What has not run yet."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Finds the best rate of each width in each arm, and says whether it moved."""
        rows, start = [], _loss_before_training(records)
        for job in self.plan():
            line = row(job, records.get(job.name), **self.counting)
            rows.append(line | {"lr": job.overrides["optim.lr"], "arm": job.role})
        arms = {
            arm: summarise(own, base_width=self.base_width, loss_0=start)
            for arm, own in by(rows, "arm").items()
        }
        result = {
            "study": "transfer",
            "base_width": self.base_width,
            "control": self.arms.get(CONTROL),
            "loss_before_training": start,
            "arms": arms,
            "verdict": verdict(arms),
            "jobs": rows,
            "warnings": [w for arm in arms.values() for w in arm["warnings"]] + lost(rows),
        }
        self.report(result, folder)
        return result


def summarise(rows: Sequence[Row], *, base_width: int, loss_0: float | None) -> dict[str, Any]:
    """What one arm shows: best rates, their movement, what the base width's rate costs elsewhere.

    Args:
        rows: members of the arm with `width`, `lr`, `seed` and `loss`.
        base_width: the width whose best rate the others are given.
        loss_0: loss in nats before training, which caps that of a diverged member.
    """
    widths = {
        width: curve
        for width, own in by(rows, "width").items()
        if (curve := _curve(own, loss_0)) is not None
    }
    warnings = [
        f"width {width}: no learning rate gave a loss"
        for width in by(rows, "width")
        if width not in widths
    ]
    warnings += [
        f"width {width}: the best learning rate lies on the edge of the grid"
        for width, curve in widths.items()
        if curve["on_edge"]
    ]
    found = [curve["log2_lr"] for curve in widths.values()]
    grid = [math.log2(curve["best_lr"]) for curve in widths.values()]
    sd = _seed_sd(rows, widths, base_width)
    if base_width in widths:
        for curve in widths.values():
            _cost_of_base_rate(curve, widths[base_width], sd)
    return {
        "widths": {str(width): curve for width, curve in widths.items()},
        "moved": max(found) - min(found) if found else None,
        "moved_on_grid": max(grid) - min(grid) if grid else None,
        "on_edge": any(curve["on_edge"] for curve in widths.values()),
        "seed_sd": sd,
        "warnings": warnings,
    }


def _curve(rows: Sequence[Row], loss_0: float | None) -> dict[str, Any] | None:
    """Loss against rate at one width; None where nothing finished."""
    rates = by(rows, "lr")
    # A rate at which one seed diverged is no candidate, however well the others did.
    means = [mean_loss(own) if all(r["loss"] is not None for r in own) else None
             for own in rates.values()]  # fmt: skip
    known = [loss for loss in means if loss is not None]
    if not known:
        return None
    lrs, best = list(rates), means.index(min(known))
    inside = 0 < best < len(lrs) - 1
    near = [(math.log2(lr), loss) for lr, loss in zip(lrs, means, strict=True) if loss is not None]
    near = near[max(0, known.index(min(known)) - 1) :][:3] if inside else []
    whole = len(near) == 3 and None not in means[best - 1 : best + 2]
    vertex = parabola(near) if whole else (math.log2(lrs[best]), min(known))
    return {
        "lrs": lrs,
        "losses": means,
        "best_lr": lrs[best],
        "best_loss": min(known),
        "log2_lr": vertex[0],
        "smooth_loss": vertex[1],
        "on_edge": not inside,
        "sensitivity": None if loss_0 is None else sensitivity(means, loss_0),
    }


def lost(rows: Sequence[Row]) -> list[str]:
    """What left no loss, one sentence per arm and width."""
    found: dict[tuple[str, int], list[Row]] = {}
    for line in rows:
        if line["loss"] is None:
            found.setdefault((line["arm"], line["width"]), []).append(line)
    sentences = []
    for (arm, width), own in found.items():
        rates = ", ".join(
            f"2^{math.log2(lr):g} ({len(each)})" for lr, each in by(own, "lr").items()
        )
        how = " or ".join(by(own, "outcome"))
        sentences.append(f"{arm}, width {width}: {how} at learning rate (runs): {rates}")
    return sentences


def parabola(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Vertex (x, y) of the parabola through three points whose middle one is lowest."""
    (x_0, y_0), (x_1, y_1), (x_2, y_2) = points
    left, right = x_1 - x_0, x_2 - x_1
    fall, rise = (y_1 - y_0) / left, (y_2 - y_1) / right
    curvature = (rise - fall) / (left + right)
    if curvature <= 0:  # all three are equal
        return x_1, y_1
    slope = (fall * right + rise * left) / (left + right)  # at the middle point
    return x_1 - slope / (2 * curvature), y_1 - slope**2 / (4 * curvature)


def sensitivity(losses: Sequence[float | None], loss_0: float) -> float:
    """Mean excess over the best loss, in nats; a diverged member counts as untrained."""
    capped = [loss_0 if loss is None else min(loss, loss_0) for loss in losses]
    best = min(capped)
    return math.fsum(loss - best for loss in capped) / len(capped)


def verdict(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Says in words whether the best rate transfers, with the checks that it rests on."""
    main, control = arms[MAIN], arms.get(CONTROL)
    checks: dict[str, bool | None] = {
        "best rates inside the grid": not main["on_edge"] and bool(main["widths"]),
        "best rate moves at most one factor of 2": _at_most(main["moved"], STEPS_HELD)
        and _at_most(main["moved_on_grid"], STEPS_HELD),
        "base rate costs at most two seed standard deviations": _cheap(main),
    }
    if control is not None:
        checks["control moves at least two factors of 2"] = (
            control["moved"] is not None and control["moved"] >= STEPS_LOST
        )
    nothing = "undecided: no run under test finished"
    return {"words": _words(checks) if main["widths"] else nothing, "checks": checks}


def _words(checks: Mapping[str, bool | None]) -> str:
    inside, held, cheap, *lost = checks.values()
    if not inside:
        return "undecided: a best learning rate lies on the edge of the grid; widen study.lrs"
    if not held:
        return "the best learning rate moves with the width: it does not transfer"
    if cheap is None:
        return "the best learning rate stays; what it costs needs two seeds or more to be judged"
    if not cheap:
        return "the best learning rate stays within a factor of 2, but costs more than seed noise"
    if not lost:
        return "the best learning rate transfers; no control was run beside it"
    if not lost[0]:
        return (
            "inconclusive: the control's best learning rate moves less than two factors of 2 as "
            "well, so this test would not have seen a fault; make it harder (wider, longer)"
        )
    return "the best learning rate transfers, and under the control it does not"


def _cheap(arm: Mapping[str, Any]) -> bool | None:
    """Whether the base width's best rate is good enough everywhere; None without seed noise."""
    curves = list(arm["widths"].values())
    if any(curve.get("excess") is None for curve in curves):
        return False
    if not arm["seed_sd"]:
        return None
    return all(curve["excess_sds"] <= EXCESS_SDS for curve in curves)


def _at_most(moved: float | None, limit: float) -> bool:
    return moved is not None and moved <= limit + 1e-9


def _seed_sd(rows: Sequence[Row], widths: Mapping[int, Any], base_width: int) -> float | None:
    """Seed noise in nats at the rates that matter: each width's best and the base width's best."""
    if base_width not in widths:
        return None
    base = widths[base_width]["best_lr"]
    groups = []
    for width, own in by(rows, "width").items():
        for lr in {base, widths[width]["best_lr"]} if width in widths else ():
            losses = [r["loss"] for r in own if r["lr"] == lr and r["loss"] is not None]
            groups.append(losses)
    return pooled_sd(groups)


def _cost_of_base_rate(curve: dict[str, Any], base: Mapping[str, Any], sd: float | None) -> None:
    """Adds what the base width's best rate costs here, in nats and in seed deviations."""
    loss = curve["losses"][curve["lrs"].index(base["best_lr"])]
    curve["shift_steps"] = curve["log2_lr"] - base["log2_lr"]
    curve["excess"] = None if loss is None else loss - curve["best_loss"]
    curve["excess_sds"] = curve["excess"] / sd if sd and curve["excess"] is not None else None


def _loss_before_training(records: Mapping[str, Record]) -> float | None:
    """Median over jobs of the first training loss."""
    first = sorted(r.train_curve.values[0] for r in records.values() if r.train_curve.values)
    return first[len(first) // 2] if first else None


def _job(arm: str, parametrization: str | None, width: int, lr: float, seed: int) -> Job:
    overrides = {"model.width": width, "optim.lr": lr, "seed": seed}
    if parametrization is not None:
        overrides["parametrization"] = parametrization
    name = f"{arm}-w{width}-lr{math.log2(lr):+.2f}-s{seed}"
    return Job(name, arm, overrides, cost=float(width))
