"""Arms of a trial of data: the same model on different choices of the text, at equal tokens.

Every arm gets the same number of trials, learning rates with seeds of their own, and is then
trained at its best rate with seeds that chose none. Arms are set beside a control seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies import runs
from windtunnel.studies.members import Row, check_distinct, check_seeds, left_out, missing
from windtunnel.studies.standing import trials

Overrides = Mapping[str, Any]
OWN = ("seed", "optim.lr")  # what is set here


class Arms:
    """How arms are tuned and trained.

    lr: the peak rate that `lr_factors` multiply. seeds: how many each arm is trained with; they are
    1, 2, ... trial_seeds: of each trial; they go on from those. level: probability that intervals
    claim.
    """

    def __init__(
        self,
        *,
        lr: float,
        lr_factors: Sequence[float],
        seeds: int,
        trial_seeds: int,
        level: float,
    ) -> None:
        check_distinct("study.arms.lr_factors", lr_factors, 1, "to train at")
        check_seeds(seeds)
        runs.check_level(level)
        if trial_seeds < 1:
            raise ValueError(
                "study.arms.trial_seeds is how many seeds each trial gets, at least 1; got "
                f"{trial_seeds}"
            )
        self.lr, self.lr_factors, self.level = lr, sorted(lr_factors), level
        self.seeds = list(range(1, seeds + 1))
        self.trial_seeds = list(range(seeds + 1, seeds + trial_seeds + 1))

    def trials(self, arm: str, own: Overrides) -> list[Job]:
        """An arm at every rate."""
        return [
            Job(
                f"{arm}-lr{math.log2(factor):+.2f}-s{seed}",
                "sweep",
                {**own, "seed": seed, "optim.lr": self.lr * factor},
            )
            for factor in self.lr_factors
            for seed in self.trial_seeds
        ]

    def runs(self, arm: str, own: Overrides, lr: float | None) -> list[Job]:
        """An arm with every seed; without a rate as long as none is known."""
        rate = {} if lr is None else {"optim.lr": lr}
        return [
            Job(f"{arm}-s{seed}", "student", {**own, "seed": seed, **rate}) for seed in self.seeds
        ]

    def plan(self, names: Sequence[str]) -> list[Job]:
        """All jobs, without what they will be given of other jobs."""
        every = [job for arm in names for job in self.trials(arm, {})]
        return [*every, *(job for arm in names for job in self.runs(arm, {}, None))]

    def propose(
        self, arms: Mapping[str, Overrides], records: Mapping[str, Record]
    ) -> Sequence[Job]:
        """The trials; then every arm that has a best rate, with every seed."""
        every = [job for arm, own in arms.items() for job in self.trials(arm, own)]
        if waiting := missing(every, records):
            return waiting
        best = [job for arm, own in arms.items() for job in self._best(arm, own, records)]
        return missing(best, records)

    def stand(
        self, arms: Mapping[str, Overrides], records: Mapping[str, Record], control: str
    ) -> dict[str, Any]:
        """Every arm's trials, losses, domains and data, and what it differs from the control by.

        Returns:
            `arms`, `jobs` and `warnings` of a study's result.
        """
        rows = {arm: self._rows(arm, own, records) for arm, own in arms.items()}
        students = {arm: [r for r in own if r["role"] == "student"] for arm, own in rows.items()}
        found = {}
        for arm, own in arms.items():
            losses = runs.by_seed(students[arm])
            found[arm] = {
                "trials": self._tried(arm, own, records),
                "loss": runs.summary(losses),
                "losses": {str(seed): loss for seed, loss in losses.items()},
                "bits_per_byte": runs.summary(runs.by_seed(students[arm], "bits_per_byte")),
                "domains": _domains(students[arm], records),
                "data": _data(students[arm], records),
                "less_control": None
                if arm == control
                else runs.difference(losses, runs.by_seed(students[control]), self.level),
            }
        jobs = [line for own in rows.values() for line in own]
        return {
            "arms": found,
            "control": control,
            "level": self.level,
            "jobs": jobs,
            "warnings": [*_warnings(found), *left_out(r for r in jobs if r["role"] == "student")],
        }

    def _best(self, arm: str, own: Overrides, records: Mapping[str, Record]) -> list[Job]:
        """An arm's runs at its best rate; none where no trial gave a loss."""
        lr = self._tried(arm, own, records)["best_lr"]
        return [] if lr is None else self.runs(arm, own, lr)

    def _tried(self, arm: str, own: Overrides, records: Mapping[str, Record]) -> dict[str, Any]:
        jobs = self.trials(arm, own)
        return trials([_row(arm, job, records.get(job.name)) for job in jobs], None)

    def _rows(self, arm: str, own: Overrides, records: Mapping[str, Record]) -> list[Row]:
        jobs = [*self.trials(arm, own), *self._best(arm, own, records)]
        return [_row(arm, job, records.get(job.name)) for job in jobs]


def check_own(setting: str, own: Overrides, keys: Sequence[str]) -> None:
    """Refuses overrides of what a study sets itself."""
    for key in keys:
        if key in own:
            raise ValueError(f"{setting}: {key} is set by the study; leave it out")


def _row(arm: str, job: Job, record: Record | None) -> Row:
    line = runs.row(job, record, arm=arm, lr=job.overrides["optim.lr"])
    if line["loss"] is None or record is None or record.evaluation is None:
        return line
    return line | {"bits_per_byte": record.evaluation.bits_per_byte}


def _domains(rows: Sequence[Row], records: Mapping[str, Record]) -> dict[str, float]:
    """Mean held-out loss of each domain over the runs that finished."""
    known = [e for r in rows if r["loss"] is not None and (e := records[r["job"]].evaluation)]
    return {
        name: math.fsum(e.domains[name]["loss_nats"] for e in known) / len(known)
        for name in (known[0].domains if known else [])
    }


def _data(rows: Sequence[Row], records: Mapping[str, Record]) -> dict[str, Any] | None:
    """What the first run was served: documents, tokens, and how often it went over them."""
    known = [records[r["job"]] for r in rows if r["loss"] is not None]
    if not known:
        return None
    data, tokens = known[0].data, known[0].tokens
    groups = (data.get("sampler") or {}).get("groups")
    if not groups:
        there = data["train_tokens"]
        return {"tokens": there, "epochs": tokens / there}
    there = sum(group["tokens"] for group in groups.values())
    return {"tokens": there, "epochs": tokens / there}


def _warnings(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What weakens the comparison, in words."""
    words = []
    for arm, own in found.items():
        if own["trials"]["best_lr"] is None:
            words.append(f"{arm}: no learning rate gave a loss, so it was not trained")
        elif own["trials"]["on_edge"] and len(own["trials"]["lrs"]) > 1:
            words.append(f"{arm}: the best learning rate lies on the edge of the grid")
    return words
