"""Is the text that a large model has learned more of than a small one the better half to train on?

Batch 1 draws a number for each document, which splits the text. Batch 2 trains a small and a large
model on one part. Batch 3 scores the documents of the other part, which neither has seen:

    r(x) = L_small(x) - L_large(x)

Then students are trained, all on as many tokens and with as many trials of the learning rate: on
the half of that part with the highest r, on a half drawn evenly, on all of it, and on all the text
there is, as training goes without any of this.

Source: Gu et al. 2024 (MiniPLM), arXiv 2410.17215, section 2.2 and 2.3. Deviations: scores are of
documents and means over tokens, where theirs are of rows of equal length; learning rates are tuned
for each arm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies.arms import Arms, check_own
from windtunnel.studies.members import has_ended, missing

SPLIT, SMALL, LARGE, SCORES = "split", "small", "large", "scores"
CHOSEN, RANDOM, POOL, EVERYTHING = "chosen", "random", "pool", "everything"
EVEN = 1e9  # temperature at which a softmax draws evenly


class Difference:
    """Two trainings, a scoring, then arms."""

    def __init__(
        self,
        *,
        small: Mapping[str, Any],
        large: Mapping[str, Any],
        share: float,
        split_seed: int,
        fraction: float,
        by_domain: bool,
        flops_convention: str,
        arms: Arms,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what would choose nothing, before any work.

        Args:
            small: overrides of the small model that scores.
            large: overrides of the large one.
            share: of the documents, that these two are trained on and no student is chosen from.
            split_seed: of the draw that says which.
            fraction: share of the other documents' tokens that is chosen.
            by_domain: whether that share is taken in every domain.
            flops_convention: how FLOPs are counted in the table.
            arms: how the students are tuned and trained.
            report: writes table and figure of what was concluded into a folder.
        """
        for name, value in (("share", share), ("fraction", fraction)):
            if not 0 < value < 1:
                raise ValueError(f"study.{name} must lie between 0 and 1; got {value}: try 0.3")
        for name, own in (("small", small), ("large", large)):
            check_own(f"study.{name}", own, ["sampler", "task", "scorer"])
        self.small, self.large = dict(small), dict(large)
        self.share, self.split_seed = share, split_seed
        self.fraction, self.by_domain = fraction, by_domain
        self.flops_convention, self.arms, self.report = flops_convention, arms, report

    def split(self) -> Job:
        """Draws a number from 0 to 1 for each document."""
        own = {"task": "score", "scorer": "uniform", "scorer.seed": self.split_seed}
        return Job(SPLIT, "score", {**own, "scorer.column": SPLIT}, cost=0.1)

    def scorers(self, folder: Path) -> list[Job]:
        """The two models, trained on the documents below the split."""
        part = {
            "sampler": "selection",
            "sampler/selection": "threshold",
            "sampler.selection.score": column(folder, SPLIT, SPLIT),
            "sampler.selection.high": self.share,
        }
        return [
            Job(name, "scorer", {**own, **part}, cost=2.0)
            for name, own in ((LARGE, self.large), (SMALL, self.small))
        ]

    def scoring(self, folder: Path) -> Job:
        """Scores the documents above the split."""
        bounds = {"score": column(folder, SPLIT, SPLIT), "at_least": self.share, "below": None}
        own = {
            "task": "score",
            "scorer": "difference",
            "scorer.small": str(folder / SMALL),
            "scorer.large": str(folder / LARGE),
            "scorer.among": bounds,
        }
        return Job(SCORES, "score", own, cost=0.5)

    def choices(self, records: Mapping[str, Record], folder: Path) -> dict[str, dict[str, Any]]:
        """Overrides of the arms."""
        record = records[SCORES]
        pool = record.measurements["score"]["n_tokens"] / record.data["train_tokens"]
        file = column(folder, SCORES, "difference")
        scored = {"sampler": "selection", "sampler.selection.score": file}
        half = {
            "sampler.selection.fraction": self.fraction * pool,
            "sampler.selection.by_domain": self.by_domain,
        }
        even = {"sampler/selection": "softmax", "sampler.selection.temperature": EVEN}
        return {
            RANDOM: {**scored, **even, **half},
            CHOSEN: {**scored, **half},
            POOL: {**scored, "sampler/selection": "threshold"},
            EVERYTHING: {"sampler": "uniform"},
        }

    def plan(self) -> Sequence[Job]:
        """All jobs but the scoring, whose models are not there yet; see `Arms.plan`."""
        models = [Job(j.name, j.role, dict(own), cost=j.cost) for j, own in zip(
            self.scorers(Path()), (self.large, self.small), strict=True)]  # fmt: skip
        return [self.split(), *models, *self.arms.plan([RANDOM, CHOSEN, POOL, EVERYTHING])]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The split, the two models, the scores, and then the arms."""
        folder = folder.absolute()
        for batch in ([self.split()], self.scorers(folder), [self.scoring(folder)]):
            if waiting := missing(batch, records):
                return waiting
            if any(records[job.name].outcome != "finished" for job in batch):
                return []
        return self.arms.propose(self.choices(records, folder), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the arms beside each other, and reports."""
        result: dict[str, Any] = {
            "study": "difference",
            "share": self.share,
            "fraction": self.fraction,
            "by_domain": self.by_domain,
            "scores": None,
            "models": {},
            "arms": {},
            "control": RANDOM,
            "level": self.arms.level,
            "jobs": [],
            "warnings": ["nothing was scored, so no student was trained"],
        }
        if has_ended(records.get(SCORES)):
            result |= self.arms.stand(self.choices(records, folder.absolute()), records, RANDOM)
            result |= {
                "scores": records[SCORES].measurements["score"],
                "models": {name: self._model(records[name]) for name in (SMALL, LARGE)},
            }
        self.report(result, folder)
        return result

    def _model(self, record: Record) -> dict[str, Any]:
        """What one of the two models was, and cost."""
        return {
            "parameters": record.parameters,
            "loss": None if record.evaluation is None else record.evaluation.loss_nats,
            "tokens": record.tokens,
            "flops": record.train_flops[self.flops_convention],
        }


def column(folder: Path, job: str, name: str) -> str:
    """The file in which a job of a study leaves a score."""
    return str(folder / job / "scores" / f"{name}.parquet")
