"""How much a learning rate that is off costs, and what interventions do about it.

    sensitivity = mean over rates of [min(loss, loss_0) - loss_best]

loss is the held-out loss at the end, loss_best its least over the rates, and loss_0 that before
training, which a run that diverged counts for. The rates are equally spaced in their logarithm over
the same decades for every intervention, so the mean is over decades; it is not meaningful between
interventions that scale the rate itself. It is taken seed by seed, so that it has a spread.

Source: Wortsman et al. 2023, arXiv 2309.14322, section 2.2.
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
from windtunnel.studies.transfer import sensitivity

OWN = ("model.width", "optim.lr", "seed")  # what the study sets itself
EVEN = 1e-6  # how far ratios of neighbouring rates may differ


class LRSensitivity:
    """Interventions x widths x learning rates x seeds."""

    def __init__(
        self,
        *,
        interventions: Mapping[str, Mapping[str, Any]],
        reference: str,
        lrs: Sequence[float],
        widths: Sequence[int],
        seeds: int,
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what would not be a mean over decades, before any work.

        Args:
            interventions: overrides of each intervention, by its name.
            reference: the intervention that the others are set beside, and whose first losses are
                the loss before training.
            lrs: peak learning rates, each the same multiple of the one before.
            widths: widths of the models.
            seeds: how many seeds each member gets; they are 1, 2, ...
            n_convention: how parameters are counted in the figure.
            flops_convention: how FLOPs are counted in the table.
            report: writes table and figure of what was concluded into a folder.
        """
        check_distinct("study.lrs", lrs, 3, "for a best one inside")
        check_distinct("study.widths", widths, 1, "")
        check_seeds(seeds)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        ratios = [b / a for a, b in zip(sorted(lrs), sorted(lrs)[1:], strict=False)]
        if max(ratios) > min(ratios) * (1 + EVEN):
            raise ValueError(
                f"study.lrs must be equally spaced in their logarithm, got {sorted(lrs)}: else "
                "some decades would count more than others; take each twice the one before"
            )
        if reference not in interventions:
            raise ValueError(
                f"study.reference must be one of study.interventions, {', '.join(interventions)}; "
                f"got {reference}"
            )
        for name, own in interventions.items():
            for key in OWN:
                if key in own:
                    raise ValueError(
                        f"study.interventions.{name}: {key} is set by the study for each of its "
                        "jobs; leave it out"
                    )
        self.interventions = {name: dict(own) for name, own in interventions.items()}
        self.reference, self.lrs, self.widths = reference, sorted(lrs), sorted(widths)
        self.seeds = list(range(1, seeds + 1))
        self.counting = {"n_convention": n_convention, "flops_convention": flops_convention}
        self.report = report

    def plan(self) -> Sequence[Job]:
        """All jobs, one batch."""
        return [
            Job(
                f"{name}-w{width}-lr{math.log2(lr):+.2f}-s{seed}",
                name,
                {**own, "model.width": width, "optim.lr": lr, "seed": seed},
                cost=float(width),
            )
            for name, own in self.interventions.items()
            for width in self.widths
            for lr in self.lrs
            for seed in self.seeds
        ]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """What has not run yet."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Finds the sensitivity of every intervention at every width."""
        rows = [
            row(job, records.get(job.name), **self.counting) | {"lr": job.overrides["optim.lr"]}
            for job in self.plan()
        ]
        start = self._loss_before_training(records)
        found = {
            name: {
                "overrides": self.interventions[name],
                "widths": {
                    str(width): summarise(each, start) for width, each in by(own, "width").items()
                },
            }
            for name, own in by(rows, "role").items()
        }
        result = {
            "study": "lr_sensitivity",
            "reference": self.reference,
            "lrs": self.lrs,
            "decades": math.log10(self.lrs[-1] / self.lrs[0]),
            "loss_before_training": start,
            "interventions": {name: found[name] for name in self.interventions},
            "jobs": rows,
            "warnings": _warnings(found),
        }
        self.report(result, folder)
        return result

    def _loss_before_training(self, records: Mapping[str, Record]) -> float | None:
        """Median first training loss of the reference: other losses are on scales of their own."""
        own = [records[job.name] for job in self.plan()
               if job.role == self.reference and job.name in records]  # fmt: skip
        first = sorted(record.train_curve.values[0] for record in own if record.train_curve.values)
        return first[len(first) // 2] if first else None


def summarise(rows: Sequence[Row], loss_0: float | None) -> dict[str, Any]:
    """Loss against rate at one width, and how much the rate matters.

    Args:
        rows: members with `lr`, `seed` and `loss`, None where a run diverged or is missing.
        loss_0: loss in nats before training.

    Returns:
        Sensitivity as mean and standard deviation over the seeds that have all their rates.
    """
    rates = by(rows, "lr")
    means = [mean_loss(own) for own in rates.values()]
    known = [loss for loss in means if loss is not None]
    each = []
    for own in by(rows, "seed").values():
        ran = all(line["outcome"] != "missing" for line in own)
        if loss_0 is not None and ran and any(line["loss"] is not None for line in own):
            each.append(sensitivity([line["loss"] for line in own], loss_0))
    best = means.index(min(known)) if known else None
    return {
        "n": next((line["n"] for line in rows if "n" in line), None),
        "lrs": list(rates),
        "losses": means,
        "n_lost": [sum(line["outcome"] == "diverged" for line in own) for own in rates.values()],
        "best_lr": None if best is None else list(rates)[best],
        "best_loss": min(known, default=None),
        "on_edge": best in (0, len(means) - 1),
        "sensitivity": math.fsum(each) / len(each) if each else None,
        "sd": pooled_sd([each]),
        "seeds": len(each),
    }


def _warnings(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What weakens the comparison, in words."""
    words = []
    for name, own in found.items():
        for width, at in own["widths"].items():
            place = f"{name}, width {width}"
            if at["best_lr"] is None:
                words.append(f"{place}: no learning rate gave a loss")
            elif at["on_edge"]:
                words.append(f"{place}: the best learning rate lies on the edge of the grid")
    return words
