"""A ladder of widths that predicts a larger model's loss before that model is trained.

Batch 1 trains every width, `replicates` times for every seed. A law, L(N) = a N^b + c by default,
is fitted to their held-out losses, and `prediction.json` is written. Only then is batch 2, the
target, proposed, once per seed; what it reaches is set beside the prediction, and nothing is fitted
again. Replicates are cheap where the models are small, and halve there what a fit suffers from.

Source: Yao et al. 2023 (nanoLM, muScaling), arXiv 2304.06875: width ladder at fixed depth, data
order and steps with transferred hyperparameters. Deviation: a prediction interval, seeds and
replicates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.laws import by_name
from windtunnel.studies.forecast import compare, forecasts, share
from windtunnel.studies.members import (
    ENDED,
    Row,
    by,
    check_counts,
    check_distinct,
    check_replicates,
    check_seeds,
    left_out,
    mean_loss,
    missing,
    row,
    usable,
)
from windtunnel.studies.method import Method
from windtunnel.studies.noise import pooled_sd
from windtunnel.studies.outlook import instabilities
from windtunnel.studies.prediction import read_prediction, write_prediction
from windtunnel.studies.size import count_at

log = logging.getLogger(__name__)

LEAST_RATIO = 4  # the target over the largest fitted model, in N


class Ladder:
    """Widths x seeds x replicates, a fit, a prediction, then the target."""

    def __init__(
        self,
        *,
        widths: Sequence[int],
        target_width: int,
        seeds: int,
        replicates: int,
        law: str,
        method: Method,
        n_convention: str,
        flops_convention: str,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be fitted, before any work.

        Args:
            widths: widths of the fitted models.
            target_width: width of the model that is predicted.
            seeds: how many ladders are trained, each with a target of its own.
            replicates: how many runs of each width make up one ladder. They and the target see the
                same data in the same order, and differ in how the model is drawn: ladder 1 has the
                seeds 1 to `replicates`, ladder 2 goes on from there.
            law: name of the scaling law that is fitted.
            method: how to fit and draw intervals.
            n_convention: how parameters are counted in the fit.
            flops_convention: how FLOPs are counted in the cost.
            report: writes table and figure of what was concluded into a folder.
        """
        self.law, self.method = by_name(law), method
        n_coefficients = len(self.law.coefficients)
        why = f"to fit the {n_coefficients} coefficients of {law} and judge the fit"
        check_distinct("study.widths", widths, n_coefficients + 1, why)
        check_seeds(seeds)
        check_replicates(replicates)
        check_counts(n_convention=n_convention, flops_convention=flops_convention)
        if target_width <= max(widths):
            raise ValueError(
                f"study.target_width must lie beyond the fitted widths, which end at {max(widths)};"
                f" got {target_width}, where there is nothing to extrapolate: make it larger"
            )
        self.widths, self.target_width = sorted(widths), target_width
        self.seeds, self.replicates = list(range(1, seeds + 1)), replicates
        self.n_convention, self.flops_convention = n_convention, flops_convention
        self.report = report

    def rungs(self) -> list[Job]:
        """The models that are fitted."""
        runs = range(1, len(self.seeds) * self.replicates + 1)
        return [self._job(f"w{w}-s{run}", "rung", w, run) for w in self.widths for run in runs]

    def targets(self) -> list[Job]:
        """The model that is predicted, once per seed."""
        width, firsts = self.target_width, [1 + (s - 1) * self.replicates for s in self.seeds]
        return [self._job(f"target-w{width}-s{run}", "target", width, run) for run in firsts]

    def plan(self) -> Sequence[Job]:
        """All jobs, target last."""
        return [*self.rungs(), *self.targets()]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The rungs; then, once a prediction is written, the target."""
        waiting = missing(self.rungs(), records)
        if waiting:
            return waiting
        if self.predict(records, folder) is None:
            return []
        return missing(self.targets(), records)

    def predict(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any] | None:
        """Reads the prediction, or writes it; None where too few members remain to fit."""
        rows = self._rows(self.rungs(), records)
        if self.too_few(rows):
            return None
        counts = {line["width"]: line["n"] for line in rows if "n" in line}
        target_n, exact = count_at(self.target_width, counts)
        inputs = {
            "law": self.law.name,
            "formula": self.law.formula,
            "n_convention": self.n_convention,
            "level": self.method.level,
            "target": {"width": self.target_width, "n": target_n},
            "points": [[line["job"], line["n"], line["loss"]] for line in usable(rows)],
        }
        known = read_prediction(folder, inputs)
        if known is not None:
            return known
        warnings = self._warnings(rows) + ([] if exact else [_inexact(target_n)])
        ahead = instabilities(
            [records[line["job"]] for line in usable(rows)], target_n, self.n_convention
        )
        for said in ahead:
            log.warning("%s", said)  # now, while the target can still be called off
        warnings += ahead
        before = not any(target.name in records for target in self.targets())
        if not before:
            warnings.append("the target was already trained when this prediction was written")
        predictions = {"before_target": before, "warnings": warnings} | forecasts(
            usable(rows),
            target_n,
            self.law,
            self.method,
            n_seeds=len(self.seeds),
            replicates=self.replicates,
        )
        return write_prediction(folder, inputs, predictions)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the prediction beside the target, and reports."""
        rungs, targets = self._rows(self.rungs(), records), self._rows(self.targets(), records)
        prediction = None if missing(self.rungs(), records) else self.predict(records, folder)
        result = self._nothing(rungs, targets)
        if prediction is None:
            result["warnings"].append(self._why_nothing(rungs))
        else:
            pooled = prediction["pooled"]
            fitted = [line for line in rungs if line["job"] in pooled["fitted"]]
            for line in rungs:
                line["fitted"] = line["job"] in pooled["fitted"]
            result |= self._outcome(prediction, fitted, targets)
        result["warnings"] += left_out(
            line for line in [*rungs, *targets] if line["outcome"] != "missing"
        )
        self.report(result, folder)
        return result

    def too_few(self, rows: Sequence[Row]) -> bool:
        """Tells whether fewer widths hold a loss than the law needs."""
        return len(by(usable(rows), "width")) <= len(self.law.coefficients)

    def _job(self, name: str, role: str, width: int, run: int) -> Job:
        ladder = 1 + (run - 1) // self.replicates
        overrides = {"model.width": width, "seed": run, "batch.seed": ladder}
        # At the sizes of a ladder on one machine time grows about as the width, not as its square.
        return Job(name, role, overrides, cost=float(width))

    def _rows(self, jobs: Sequence[Job], records: Mapping[str, Record]) -> list[Row]:
        counting = {"n_convention": self.n_convention, "flops_convention": self.flops_convention}
        rows = [row(job, records.get(job.name), **counting) for job in jobs]
        return [
            line | {"ladder": job.overrides["batch.seed"]}
            for job, line in zip(jobs, rows, strict=True)
        ]

    def _warnings(self, rows: Sequence[Row]) -> list[str]:
        """What weakens this ladder, in words."""
        widths = by(usable(rows), "width")
        several = all(len(own) > 1 for own in widths.values())
        warnings = []
        if len(widths) < (5 if several else 6):
            warnings.append(
                f"only {len(widths)} widths are fitted: use at least six, or five with two seeds"
            )
        largest = widths[max(widths)][0]["parameters"]
        for convention in ("total", "non_embedding"):
            counts = {
                line["width"]: line["parameters"][convention]
                for line in rows
                if "parameters" in line
            }
            ratio = count_at(self.target_width, counts)[0] / largest[convention]
            if ratio < LEAST_RATIO:
                warnings.append(
                    f"the target is only {ratio:.2f} times the largest fitted model in "
                    f"{convention} parameters; less than {LEAST_RATIO} shows little"
                )
        return warnings

    def _nothing(self, rungs: list[Row], targets: list[Row]) -> dict[str, Any]:
        """The result where nothing could be predicted."""
        return {
            "study": "ladder",
            "law": self.law.name,
            "formula": self.law.formula,
            "parameters": None,
            "n_convention": self.n_convention,
            "level": self.method.level,
            "prediction": None,
            "actual": None,
            "error": None,
            "gap": None,
            "baselines": {},
            "seed_sd": None,
            "seed_sd_from": None,
            "checks": {},
            "per_seed": {},
            "band": None,
            "leave_largest_out": None,
            "target": {"width": self.target_width, "n": None},
            "cost_share": {
                "flops": share(rungs, targets, "flops"),
                "seconds": share(rungs, targets, "seconds"),
                "flops_convention": self.flops_convention,
            },
            "jobs": [*rungs, *targets],
            "warnings": [],
        }

    def _why_nothing(self, rungs: Sequence[Row]) -> str:
        waiting = [line["job"] for line in rungs if line["outcome"] not in ENDED]
        if waiting:
            return f"nothing was predicted: {', '.join(waiting)} did not end; run the study again"
        return (
            f"nothing was predicted: {len(by(usable(rungs), 'width'))} widths hold a loss, and "
            f"{self.law.name} needs {len(self.law.coefficients) + 1}; "
            "mend the diverged members or add widths"
        )

    def _outcome(
        self, prediction: dict[str, Any], fitted: list[Row], targets: list[Row]
    ) -> dict[str, Any]:
        """The part of the result that a prediction gives."""
        pooled = prediction["pooled"]
        sd = pooled_sd([[line["loss"] for line in g] for g in by(fitted, "width").values()])
        sd_from = "the spread over seeds at each fitted width"
        if sd is None:
            sd = pooled["residual_sd"]
            sd_from = "the residuals of the fit, since there is one seed"
        result: dict[str, Any] = {
            "parameters": pooled["parameters"],
            "prediction": pooled["prediction"],
            "predicted_at": prediction["time"],
            "predicted_before_target": prediction["before_target"],
            "inputs_digest": prediction["inputs_digest"],
            "target": prediction["inputs"]["target"],
            "baselines": {name: {"loss": v} for name, v in pooled["baselines"].items()},
            "band": pooled["band"],
            "seed_sd": sd,
            "seed_sd_from": sd_from,
            "per_seed": {},
            "leave_largest_out": pooled["leave_largest_out"],
            "warnings": [*prediction["warnings"], *pooled["warnings"]],
        }
        actual, largest = mean_loss(targets), _largest(fitted)
        if actual is None:
            result["warnings"].append("no target finished: the prediction stands unchecked")
            return result
        result |= compare(pooled, actual, largest, sd)
        counted = {line["n"] for line in targets if "n" in line} - {result["target"]["n"]}
        if counted:
            result["warnings"].append(
                f"the target has {counted.pop()} parameters, and the prediction was made for "
                f"{result['target']['n']}"
            )
        if result["gap"] < 5 * sd:
            result["warnings"].append(
                "this ladder is too short to show anything: the loss falls by "
                f"{result['gap']:.4f} nats from the largest fitted model to the target, less than "
                f"five seed standard deviations ({5 * sd:.4f}, from {sd_from})"
            )
        for line in usable(targets):
            own = prediction["per_seed"].get(str(line["ladder"]))
            if own is not None:
                seed_largest = _largest(by(fitted, "ladder")[line["ladder"]])
                result["per_seed"][str(line["ladder"])] = {
                    "prediction": own["prediction"],
                    "alone": own["alone"],
                    "parameters": own["parameters"],
                    "warnings": own["warnings"],
                    **compare(own, line["loss"], seed_largest, sd),
                }
        return result


def _largest(rows: Sequence[Row]) -> float:
    """Mean loss of the widest models."""
    widths = by(rows, "width")
    loss = mean_loss(widths[max(widths)])
    assert loss is not None  # fitted members hold a loss
    return loss


def _inexact(target_n: int) -> str:
    return (
        f"the target's size was estimated as {target_n} parameters: the counts of the fitted "
        "widths do not lie on one polynomial of the width"
    )
