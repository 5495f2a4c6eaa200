"""Does a balanced choice over clusters of loss trajectories stand in for more text?

Batch 1 trains a small proxy on all the text, and keeps checkpoints. Batch 2 scores every document
under each of them: its trajectory. A selection clusters the trajectories of each domain and takes
as many documents of each cluster, as many of each domain. Then students are trained, all on as many
tokens and with as many trials of the learning rate:

    clusters      on the documents that the clusters give
    domains       on as many documents drawn evenly in every domain: one cluster a domain
    random        on documents drawn evenly, with as many tokens as `clusters` has
    everything    on all the text

so that what balancing domains does is told apart from what clustering does.

Source: Yang et al. 2024 (S2L), arXiv 2403.07384, section 4. Deviation: pre-training, where theirs
is fine-tuning; all tokens of a document count, or its first, where theirs are the answer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies.arms import Arms, check_own
from windtunnel.studies.members import has_ended, missing

PROXY, SCORES = "proxy", "trajectories"
CLUSTERS, DOMAINS, RANDOM, EVERYTHING = "clusters", "domains", "random", "everything"


class Trajectories:
    """A proxy, a scoring, then arms."""

    def __init__(
        self,
        *,
        proxy: Mapping[str, Any],
        checkpoints: Sequence[int],
        first_tokens: int | None,
        fraction: float,
        n_clusters: int,
        arms: Arms,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what would choose nothing, before any work.

        Args:
            proxy: overrides of the small model.
            checkpoints: tokens at which it is kept; its end is one more.
            first_tokens: of a document, whose loss is its trajectory; None for all.
            fraction: share of the documents that is chosen.
            n_clusters: of each domain.
            arms: how the students are tuned and trained.
            report: writes table and figure of what was concluded into a folder.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"study.fraction must lie between 0 and 1; got {fraction}: try 0.2")
        if n_clusters < 2:
            raise ValueError(f"study.n_clusters must be at least 2; got {n_clusters}: raise it")
        if not checkpoints:
            raise ValueError(
                "study.checkpoints must hold at least one number of tokens before the end of the "
                "proxy's training; got none: a trajectory needs two points"
            )
        check_own("study.proxy", proxy, ["callbacks", "task", "scorer"])
        self.proxy, self.checkpoints = dict(proxy), list(checkpoints)
        self.first_tokens = first_tokens
        self.fraction, self.n_clusters = fraction, n_clusters
        self.arms, self.report = arms, report

    def small(self) -> Job:
        """The proxy."""
        kept = {"callbacks": "keep_checkpoints", "callbacks.keep.tokens": self.checkpoints}
        return Job(PROXY, "proxy", {**self.proxy, **kept, "sampler": "uniform"}, cost=2.0)

    def scoring(self, folder: Path) -> Job:
        """The trajectories of all documents."""
        own = {
            "task": "score",
            "scorer": "trajectory",
            "scorer.folder": str(folder / PROXY),
            "scorer.first_tokens": self.first_tokens,
        }
        return Job(SCORES, "score", own, cost=1.0)

    def choices(self, records: Mapping[str, Record]) -> dict[str, dict[str, Any]]:
        """Overrides of the arms; `random` waits for the tokens that `clusters` has."""
        clusters = {
            "sampler": "clusters",
            "sampler.selection.scores": records[SCORES].measurements["score"]["files"],
            "sampler.selection.fraction": self.fraction,
            "sampler.selection.n_clusters": self.n_clusters,
        }
        arms = {
            CLUSTERS: clusters,
            DOMAINS: {**clusters, "sampler.selection.n_clusters": 1},
            EVERYTHING: {"sampler": "uniform"},
        }
        first = self.arms.trials(CLUSTERS, clusters)[0].name
        if first not in records:
            return arms
        data = records[first].data
        tokens = sum(group["tokens"] for group in data["sampler"]["groups"].values())
        share = {"sampler.selection.fraction": tokens / data["train_tokens"]}
        random = {"sampler": "selection", "sampler/selection": "random", **share}
        return {RANDOM: random, **arms}

    def plan(self) -> Sequence[Job]:
        """All jobs but the scoring, whose model is not there yet; see `Arms.plan`."""
        return [self.small(), *self.arms.plan([RANDOM, CLUSTERS, DOMAINS, EVERYTHING])]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The proxy, the trajectories, and then the arms."""
        for batch in ([self.small()], [self.scoring(folder.absolute())]):
            if waiting := missing(batch, records):
                return waiting
            if any(records[job.name].outcome != "finished" for job in batch):
                return []
        return self.arms.propose(self.choices(records), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the arms beside each other, and reports."""
        result: dict[str, Any] = {
            "study": "trajectories",
            "fraction": self.fraction,
            "n_clusters": self.n_clusters,
            "checkpoints": self.checkpoints,
            "scores": None,
            "models": {},
            "arms": {},
            "control": RANDOM,
            "level": self.arms.level,
            "jobs": [],
            "warnings": ["nothing was scored, so no student was trained"],
        }
        arms = self.choices(records) if has_ended(records.get(SCORES)) else {}
        if RANDOM in arms:
            result |= self.arms.stand(arms, records, RANDOM)
            result["scores"] = records[SCORES].measurements["score"]
        self.report(result, folder)
        return result
