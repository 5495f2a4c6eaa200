"""Languages that no people could speak, learned beside one that they could: which are harder?

Every language is the same text with its sentences reordered or marked (`data.perturb`), and is
learned by the same model from as many tokens, for some seeds; its held-out text is in that language
too.
Chains state which of several languages is expected to be easier: every link, a language and the
next one, is tried by the difference of their losses over seeds. The first language of a chain is
the control of the others.

Source: Kallini et al. 2024, arXiv 2401.06416. Deviation: held-out loss at the end, where they take
perplexities along the way; a test over seeds for every link.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Job, Record
from windtunnel.studies import runs
from windtunnel.studies.members import Row, by, check_seeds, left_out, missing, usable

OWN = ("seed",)  # what the study sets itself


class Impossible:
    """Languages x seeds, and the order in which they are expected to be learned."""

    def __init__(
        self,
        *,
        variants: Mapping[str, Mapping[str, Any]],
        chains: Sequence[Sequence[str]],
        seeds: int,
        level: float,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be compared, before any work.

        Args:
            variants: overrides of every language, by its name.
            chains: names of languages, each chain from the easiest to the hardest.
            seeds: how many seeds each language gets; they are 1, 2, ...
            level: probability that the interval of a difference claims.
            report: writes table and figure of what was concluded into a folder.
        """
        runs.check_variants(variants, OWN)
        check_seeds(seeds)
        runs.check_level(level)
        unknown = sorted({name for chain in chains for name in chain} - set(variants))
        if unknown:
            raise ValueError(
                f"study.chains name languages of study.variants, which has {', '.join(variants)}; "
                f"got {', '.join(unknown)}"
            )
        for chain in chains:
            if len(set(chain)) < 2 or len(set(chain)) < len(chain):
                raise ValueError(
                    "study.chains must each hold two or more different languages, the easiest "
                    f"first; got {list(chain)}"
                )
        self.variants = {name: dict(own) for name, own in variants.items()}
        self.chains = [list(chain) for chain in chains]
        self.seeds = list(range(1, seeds + 1))
        self.level, self.report = level, report

    def plan(self) -> Sequence[Job]:
        """All jobs: seed by seed, so that what is done first can be compared."""
        return [
            Job(f"{name}-s{seed}", "language", {**own, "seed": seed})
            for seed in self.seeds
            for name, own in self.variants.items()
        ]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """All at once."""
        return missing(self.plan(), records)

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the languages beside each other, and reports."""
        rows = [
            runs.row(job, records.get(job.name), language=job.name.rpartition("-s")[0])
            for job in self.plan()
        ]
        losses = {name: runs.by_seed(own) for name, own in by(rows, "language").items()}
        languages = {name: self._language(name, rows, losses, records) for name in self.variants}
        result = {
            "study": "impossible",
            "level": self.level,
            "seeds": self.seeds,
            "languages": languages,
            "links": [self._link(*link, losses) for link in self._links()],
            "jobs": rows,
            "warnings": left_out(rows),
        }
        self.report(result, folder)
        return result

    def _control(self, name: str) -> str | None:
        """The first language of the first chain that holds this one further on."""
        return next((chain[0] for chain in self.chains if name in chain[1:]), None)

    def _language(
        self,
        name: str,
        rows: Sequence[Row],
        losses: Mapping[str, Mapping[int, float]],
        records: Mapping[str, Record],
    ) -> dict[str, Any]:
        found, control = runs.summary(losses[name]), self._control(name)
        own = [records[line["job"]] for line in usable(rows) if line["language"] == name]
        return {
            "overrides": self.variants[name],
            "loss": found["mean"],
            "sd": found["sd"],
            "seeds": found["seeds"],
            "perplexity": None if found["mean"] is None else math.exp(found["mean"]),
            "curve": runs.mean_curve([record.eval_curve for record in own]),
            "control": control,
            "above_control": None
            if control is None
            else runs.difference(losses[name], losses[control], self.level),
        }

    def _links(self) -> list[tuple[str, str]]:
        """Every two neighbours of a chain, once."""
        return list(dict.fromkeys(link for chain in self.chains for link in pairwise(chain)))

    def _link(
        self, easier: str, harder: str, losses: Mapping[str, Mapping[int, float]]
    ) -> dict[str, Any]:
        found = runs.difference(losses[harder], losses[easier], self.level)
        verdict = {1: "as expected", -1: "the other way", 0: "undecided"}[runs.sign(found)]
        return {"easier": easier, "harder": harder, "difference": found, "verdict": verdict}
