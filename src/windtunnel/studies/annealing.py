"""A whole loss curve predicted from its learning rates, before it is trained.

Batch 1 trains one model under a few schedules. The annealing law, L = L_0 + A S1^-alpha - C S2, is
fitted to all points of their held-out curves, and `prediction.json` is written: the curve that the
same model will have under a schedule that none of them used. Only then is batch 2, that schedule,
proposed; what it reaches is set beside the prediction.

Source: Tissue et al. 2024, arXiv 2408.11029, section 4. Deviation: held-out loss where they take a
smoothed training loss, and an interval.

Axes: T steps, M points of a curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Job, Record, Schedule
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.schedule import Areas
from windtunnel.studies.curves import areas_at, compare, forecast, rates, since
from windtunnel.studies.members import by, check_seeds, held_out_loss, left_out, missing
from windtunnel.studies.method import Method
from windtunnel.studies.prediction import read_prediction, write_prediction

LEAST_POINTS = 10  # of a curve: five per coefficient that bends it


class Annealing:
    """Fitted schedules x seeds, a fit to their curves, a predicted curve, then that schedule."""

    def __init__(
        self,
        *,
        schedules: Mapping[str, Schedule],
        fitted: Sequence[str],
        unseen: str,
        lr: float,
        total_tokens: int,
        warmup_tokens: int,
        evaluations: int,
        from_tokens: int,
        decay: float,
        seeds: int,
        method: Method,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses schedules from which nothing could be learned, before any work.

        Args:
            schedules: multipliers of the peak rate by the name of their YAML.
            fitted: names of the schedules whose curves are fitted.
            unseen: name of the schedule whose curve is predicted.
            lr: peak learning rate.
            total_tokens: training tokens of every run.
            warmup_tokens: tokens over which every schedule warms up.
            evaluations: held-out evaluations of every run, evenly spaced.
            from_tokens: points of a curve before these tokens are left out.
            decay: what is left of the annealing momentum after a step.
            seeds: how many seeds each schedule gets; they are 1, 2, ...
            method: how to fit and draw intervals.
            report: writes table and figure of what was concluded into a folder.
        """
        self.law = by_name("lr_annealing")
        unknown = sorted({*fitted, unseen} - set(schedules))
        if unknown:
            raise ValueError(
                f"study.fitted and study.unseen name schedules of study.schedules, which has "
                f"{', '.join(schedules)}; got {', '.join(unknown)}"
            )
        if len(set(fitted)) < 2 or unseen in fitted:
            raise ValueError(
                f"study.fitted must name two schedules or more, and not study.unseen; got "
                f"{', '.join(fitted)} and {unseen}: one curve cannot tell how much annealing gains"
            )
        if not warmup_tokens <= from_tokens < total_tokens:
            raise ValueError(
                f"study.from_tokens must lie between the warm-up, {warmup_tokens}, and the budget, "
                f"{total_tokens}; got {from_tokens}"
            )
        n_points = int(evaluations * (1 - from_tokens / total_tokens))
        if n_points < LEAST_POINTS:
            raise ValueError(
                f"budget.evaluations must leave at least {LEAST_POINTS} points of a curve after "
                f"study.from_tokens; got {evaluations}, which leaves {n_points}: raise it"
            )
        check_seeds(seeds)
        self.schedules, self.fitted, self.unseen = dict(schedules), list(fitted), unseen
        self.lr, self.total_tokens, self.warmup_tokens = lr, total_tokens, warmup_tokens
        self.from_tokens, self.decay = from_tokens, decay
        self.seeds = list(range(1, seeds + 1))
        self.method, self.report = method, report

    def seen(self) -> list[Job]:
        """The runs whose curves are fitted."""
        return [_job(name, "fitted", seed) for name in self.fitted for seed in self.seeds]

    def targets(self) -> list[Job]:
        """The runs whose curve is predicted."""
        return [_job(self.unseen, "unseen", seed) for seed in self.seeds]

    def plan(self) -> Sequence[Job]:
        """All jobs, the unseen schedule last."""
        return [*self.seen(), *self.targets()]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The fitted schedules; then, once a prediction is written, the unseen one."""
        waiting = missing(self.seen(), records)
        if waiting:
            return waiting
        if self.predict(records, folder) is None:
            return []
        return missing(self.targets(), records)

    def predict(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any] | None:
        """Reads the prediction, or writes it; None where a schedule left no curve to fit."""
        curves = self._curves(self.seen(), records)
        if {curve["schedule"] for curve in curves} != set(self.fitted):
            return None
        inputs = {
            "law": self.law.name,
            "formula": self.law.formula,
            "decay": self.decay,
            "level": self.method.level,
            "lr": self.lr,
            "unseen": self.unseen,
            "curves": curves,
        }
        known = read_prediction(folder, inputs)
        if known is not None:
            return known
        before = not any(job.name in records for job in self.targets())
        return write_prediction(folder, inputs, {"before_target": before} | self._forecast(curves))

    def _forecast(self, curves: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The fit to all points of all curves, and the curve that it predicts."""
        tokens, tokens_per_step = curves[0]["tokens"], curves[0]["tokens_per_step"]
        seen = [(self._areas(c["schedule"], c["tokens"], tokens_per_step), c["losses"])
                for c in curves]  # fmt: skip
        unseen = self._areas(self.unseen, tokens, tokens_per_step)
        return {"tokens": tokens} | forecast(self.law, self.method, seen, unseen)

    def _areas(self, name: str, tokens: Sequence[int], tokens_per_step: int) -> Areas:
        """S1 and S2 of a schedule at the given training tokens, of which the last end the run.

        A run takes its budget in whole steps and evaluations, and its schedule ends with it.
        """
        lr_T = rates(self.schedules[name], self.lr, tokens[-1], tokens_per_step)
        return areas_at(
            lr_T, tokens, tokens_per_step, decay=self.decay, warmup_tokens=self.warmup_tokens
        )

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the predicted curve beside the one that was trained, and reports."""
        rows = [_row(job, records.get(job.name)) for job in self.plan()]
        prediction = None if missing(self.seen(), records) else self.predict(records, folder)
        result: dict[str, Any] = {
            "study": "annealing",
            "law": self.law.name,
            "formula": self.law.formula,
            "decay": self.decay,
            "level": self.method.level,
            "fitted": self.fitted,
            "unseen": self.unseen,
            "parameters": None,
            "curve": None,
            "curves": self._curves(self.plan(), records),
            "rates": {name: self._rates(name) for name in [*self.fitted, self.unseen]},
            "mape": None,
            "max_error": None,
            "final": None,
            "inside": None,
            "baselines": {},
            "jobs": rows,
            "warnings": left_out(line for line in rows if line["outcome"] != "missing"),
        }
        if prediction is None:
            result["warnings"].append("nothing was predicted: a fitted schedule left no curve")
        else:
            result |= self._outcome(prediction, result)
        self.report(result, folder)
        return result

    def _outcome(self, prediction: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
        """The part of the result that a prediction gives."""
        outcome = {
            "parameters": prediction["parameters"],
            "rms_log": prediction["rms_log"],
            "curve": {key: prediction[key] for key in ("tokens", "loss", "low", "high")},
            "predicted_at": prediction["time"],
            "predicted_before_target": prediction["before_target"],
            "warnings": [*result["warnings"], *prediction["warnings"]],
        }
        if not prediction["before_target"]:
            outcome["warnings"].append(
                "the unseen schedule was already trained when its curve was predicted"
            )
        own = {name: _mean(curves) for name, curves in by(result["curves"], "schedule").items()}
        if self.unseen not in own:
            return outcome
        rivals = {name: own[name] for name in self.fitted}
        return outcome | compare(prediction, own[self.unseen], rivals)

    def _curves(self, jobs: Sequence[Job], records: Mapping[str, Record]) -> list[dict[str, Any]]:
        """The held-out curve of every job that finished, from `from_tokens` on."""
        found = []
        for job in jobs:
            record = records.get(job.name)
            if record is None or held_out_loss(record) is None:
                continue
            curve = since(record.eval_curve, self.from_tokens)
            found.append(
                {
                    "job": job.name,
                    "schedule": job.overrides["schedule"],
                    "seed": job.overrides["seed"],
                    "tokens_per_step": record.tokens // record.steps,
                    "tokens": curve.tokens,
                    "losses": curve.values,
                }
            )
        return found

    def _rates(self, name: str) -> dict[str, list[float]]:
        """A schedule as a figure draws it."""
        tokens = np.linspace(0, self.total_tokens, 201)
        return {
            "tokens": tokens.tolist(),
            "lr": [self.lr * self.schedules[name](t, self.total_tokens) for t in tokens],
        }


def _job(schedule: str, role: str, seed: int) -> Job:
    return Job(f"{schedule}-s{seed}", role, {"schedule": schedule, "seed": seed})


def _row(job: Job, record: Record | None) -> dict[str, Any]:
    """One line of the study's table."""
    line = {
        "job": job.name,
        "role": job.role,
        "schedule": job.overrides["schedule"],
        "seed": job.overrides["seed"],
        "outcome": "missing" if record is None else record.outcome,
        "loss": held_out_loss(record),
    }
    if record is None:
        return line
    return line | {
        "outcome_step": record.outcome_step,
        "tokens": record.tokens,
        "seconds": record.seconds,
    }


def _mean(curves: Sequence[Mapping[str, Any]]) -> ndarray:
    """Mean loss over the curves of one schedule [M]."""
    return np.mean([curve["losses"] for curve in curves], axis=0)
