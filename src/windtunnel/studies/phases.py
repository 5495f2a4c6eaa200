"""Training on with new text: what is gained on it, and what is forgotten of the old.

One base run per seed reads the old domains at a constant rate. From it branch off, with nothing
trained twice: `before`, which decays at once and says what the base was worth; and one run for each
share of replay r, which reads new text mixed with that share of old text, and then decays alike.

    forgotten = old loss after - old loss before
    gained = new loss before - new loss after

Old and new losses are means over the domains by their weights. Replay of 1 is the control: the same
tokens, and nothing new.

Source: the two measures, Lopez-Paz and Ranzato 2017, arXiv 1706.08840 (backward transfer); replay
in continual pre-training, Ibrahim et al. 2024, arXiv 2403.08763. Deviation: the base is not decayed
and warmed up again, but branched off from before its decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies import mixtures, runs
from windtunnel.studies.members import Row, check_seeds, left_out, missing
from windtunnel.studies.mixtures import Mixture

BASE, BEFORE = "base", "before"


class Phases:
    """Base runs on the old domains, then a branch for each share of replay."""

    def __init__(
        self,
        *,
        old: Mapping[str, float],
        new: Mapping[str, float],
        replays: Sequence[float],
        old_tokens: int,
        new_tokens: int,
        decay_tokens: int,
        sequences: int,
        length: int,
        seeds: int,
        level: float,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be branched or compared, before any work.

        Args:
            old: weights of the domains that the base reads; they sum to one.
            new: weights of the domains that come after; they sum to one.
            replays: shares of the second phase that the old domains keep.
            old_tokens: training tokens of the base.
            new_tokens: training tokens of the second phase.
            decay_tokens: over which the rate falls to its end, of `before` and of every branch.
            sequences: sequences of a batch.
            length: tokens of a sequence.
            seeds: how many base runs there are; their seeds are 1, 2, ...
            level: probability that intervals claim.
            report: writes table and figure of what was concluded into a folder.
        """
        check_seeds(seeds)
        runs.check_level(level)
        for name, weights in (("old", old), ("new", new)):
            if not weights or min(weights.values()) <= 0 or abs(sum(weights.values()) - 1) > 1e-4:
                raise ValueError(
                    f"study.{name}: expected weights above 0 of domains, with sum 1; got "
                    f"{dict(weights)}"
                )
        if both := sorted(set(old) & set(new)):
            raise ValueError(
                f"study.new: expected other domains than study.old has; got {', '.join(both)} in "
                "both: what is read in both phases can be neither gained nor forgotten"
            )
        if len(set(replays)) < max(2, len(replays)) or not all(0 <= r <= 1 for r in replays):
            raise ValueError(
                f"study.replays must hold two or more different shares from 0 to 1; got "
                f"{list(replays)}"
            )
        each = sequences * length
        for name, value in (
            ("old_tokens", old_tokens),
            ("new_tokens", new_tokens),
            ("decay_tokens", decay_tokens),
        ):
            if value <= 0 or value % each:
                raise ValueError(
                    f"study.{name} must be whole steps of {each} tokens, at least one; got {value}:"
                    f" take {max(1, round(value / each)) * each}"
                )
        if decay_tokens >= old_tokens or decay_tokens > new_tokens:
            raise ValueError(
                f"study.decay_tokens must be less than study.old_tokens={old_tokens} and at most "
                f"study.new_tokens={new_tokens}; got {decay_tokens}: shorten it"
            )
        self.old, self.new, self.replays = dict(old), dict(new), sorted(replays)
        self.old_tokens, self.decay_tokens = old_tokens, decay_tokens
        self.total_tokens = old_tokens + new_tokens
        self.seeds = range(1, seeds + 1)
        self.level, self.report = level, report

    # ------------------------------------------------------------------------------------- the jobs

    def bases(self) -> list[Job]:
        """The runs on the old domains, which keep what the branches start from."""
        kept = [self.old_tokens - self.decay_tokens, self.old_tokens]
        own = {"schedule": "constant", "callbacks.keep.tokens": kept, **mixtures.fixed(self.old)}
        return [self._job(BASE, BASE, self.old_tokens, seed, 0, own) for seed in self.seeds]

    def branches(self, folder: Path | None) -> list[Job]:
        """`before` and the second phases; without a base's folder as long as none has run."""
        found = []
        for seed in self.seeds:
            start = self.old_tokens - self.decay_tokens
            own = self._branch(folder, seed, start, self.old_tokens) | mixtures.fixed(self.old)
            found.append(self._job(BEFORE, BEFORE, self.old_tokens, seed, start, own))
            for replay in self.replays:
                own = self._branch(folder, seed, self.old_tokens, self.total_tokens)
                own |= {"sampler": "phases", "sampler.mixture.phases": self._phases(replay)}
                name = f"replay-{replay:g}"
                found.append(
                    self._job(name, "replay", self.total_tokens, seed, self.old_tokens, own)
                )
        return found

    def plan(self) -> Sequence[Job]:
        """All jobs, the branches without what they branch off from."""
        return [*self.bases(), *self.branches(None)]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The bases; then what branches off from those that finished."""
        if waiting := missing(self.bases(), records):
            return waiting
        whole = {
            job.overrides["seed"] for job in self.bases() if records[job.name].outcome == "finished"
        }
        grown = [job for job in self.branches(folder) if job.overrides["seed"] in whole]
        return missing(grown, records)

    def _phases(self, replay: float) -> list[dict[str, Any]]:
        mixed = {name: (1 - replay) * weight for name, weight in self.new.items()}
        mixed |= {name: replay * weight for name, weight in self.old.items()}
        later = {name: weight for name, weight in mixed.items() if weight > 0}
        first = {"until": self.old_tokens / self.total_tokens, "weights": self.old}
        return [first, {"until": 1.0, "weights": later}]

    def _branch(self, folder: Path | None, seed: int, start: int, tokens: int) -> dict[str, Any]:
        own = {"schedule": "wsd", "schedule.decay_fraction": self.decay_tokens / tokens}
        if folder is None:
            return own
        source = {"branch.folder": str(folder / f"{BASE}-s{seed}"), "branch.tokens": start}
        return {**own, "branch": "checkpoint", **source}

    def _job(
        self, name: str, role: str, tokens: int, seed: int, start: int, own: Mapping[str, Any]
    ) -> Job:
        overrides = {"budget.tokens": tokens, "seed": seed, **own}
        return Job(f"{name}-s{seed}", role, overrides, cost=float(tokens - start))

    # ------------------------------------------------------------------------------- the conclusion

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets every share of replay beside what was before, and reports."""
        rows = [self._row(job, records.get(job.name)) for job in self.plan()]
        before = [line for line in rows if line["role"] == BEFORE]
        arms = {f"{replay:g}": self._arm(replay, rows, before) for replay in self.replays}
        result = {
            "study": "phases",
            "level": self.level,
            "old": self.old,
            "new": self.new,
            "old_tokens": self.old_tokens,
            "new_tokens": self.total_tokens - self.old_tokens,
            "decay_tokens": self.decay_tokens,
            "before": {side: runs.summary(runs.by_seed(before, side)) for side in ("old", "new")},
            "arms": arms,
            "steps": self._steps(arms),
            "jobs": rows,
            "warnings": left_out(line for line in rows if line["outcome"] != "missing"),
        }
        self.report(result, folder)
        return result

    def _arm(self, replay: float, rows: Sequence[Row], before: Sequence[Row]) -> dict[str, Any]:
        """Losses after a second phase, and what they are beside those before."""
        own = [line for line in rows if line["replay"] == replay]
        losses = {side: runs.by_seed(own, side) for side in ("old", "new")}
        was = {side: runs.by_seed(before, side) for side in ("old", "new")}
        return {
            **{side: runs.summary(losses[side]) for side in losses},
            "forgotten": runs.difference(losses["old"], was["old"], self.level),
            "gained": runs.difference(was["new"], losses["new"], self.level),
            "losses": losses,
        }

    def _steps(self, arms: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What more replay does, from each share to the next; -1 where forgetting surely falls."""
        found = []
        for less, more in pairwise(arms):
            own = {
                side: runs.difference(
                    arms[more]["losses"][side], arms[less]["losses"][side], self.level
                )
                for side in ("old", "new")
            }
            found.append({"from": less, "to": more, "sign": runs.sign(own["old"]), **own})
        return found

    def _row(self, job: Job, record: Record | None) -> Row:
        replay = float(job.name.split("-")[1]) if job.role == "replay" else None
        losses = mixtures.domain_losses(record)
        return runs.row(job, record, replay=replay) | {
            side: weighted(losses, weights)
            for side, weights in (("old", self.old), ("new", self.new))
        }


def weighted(losses: Mapping[str, float], weights: Mixture) -> float | None:
    """Mean loss of some domains by their weights; None where a job left no losses.

    Raises:
        ValueError: a domain has no held-out text.
    """
    if not losses:
        return None
    unknown = sorted(set(weights) - set(losses))
    if unknown:
        raise ValueError(
            f"study.old, study.new: expected domains with held-out text, got {', '.join(unknown)}; "
            f"there are {', '.join(losses)}"
        )
    return math.fsum(weight * losses[name] for name, weight in weights.items())
