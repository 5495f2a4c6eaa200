"""The best mixture of domains, found with small models and tried with larger ones.

Batch 1 trains a small model on the natural mixture with a few seeds: what the seed alone does, and
which domains there are. Batch 2 trains such a model, a proxy, on each of many mixtures drawn around
the natural one. Regressors of the target on the weights are fitted to most of the proxies and
judged by how they order the others. One of them chooses a mixture, and `prediction.json` is
written. Only then does batch 3 train a larger model for each seed on the chosen mixture, the
natural and the uniform one, and on that of the best single proxy, on the same number of tokens; and
models as small as the proxies on them, which tells an error of the fit from one of the size.

    ceiling = sqrt(1 - sd^2 / spread^2):  the correlation of a perfect regressor with the proxies,

sd that of the target over seeds and spread that over mixtures.

Source: Liu et al. 2024 (RegMix), arXiv 2407.01492; the ceiling: Spearman 1904 (attenuation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.mixture.draw import Draw, epoch_bounds
from windtunnel.studies import mixtures, runs
from windtunnel.studies.choice import CHOSEN, RIVALS, Choice
from windtunnel.studies.members import Row, check_seeds, left_out, missing
from windtunnel.studies.mixtures import Mixture
from windtunnel.studies.noise import pooled_sd
from windtunnel.studies.prediction import read_prediction, write_prediction

FEWEST_HELD_OUT = 8  # below, a rank correlation says nothing


class RegMix:
    """Seeds of the natural mixture, proxies, a prediction, then the mixtures worth a trial."""

    def __init__(
        self,
        *,
        target: str,
        proxies: int,
        held_out: int,
        noise_seeds: int,
        proxy_width: int,
        proxy_tokens: int,
        draw: Draw,
        draw_seed: int,
        epochs: float,
        choice: Choice,
        check_width: int,
        check_tokens: int,
        seeds: int,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be fitted or compared, before any work.

        Args:
            target: the domain whose held-out loss is lowered, or `mean` over all domains.
            proxies: how many mixtures are fitted.
            held_out: how many more the fits are judged on.
            noise_seeds: seeds of the natural mixture at the proxies' size.
            proxy_width: width of a proxy.
            proxy_tokens: training tokens of a proxy.
            draw: how the proxies' mixtures are drawn.
            draw_seed: of the draw.
            epochs: how often a mixture may read a domain's text in `check_tokens`.
            choice: the regressors, and how the best mixture is sought.
            check_width: width of the larger models.
            check_tokens: training tokens of each.
            seeds: how many larger models each mixture gets; their seeds are 1, 2, ...
            report: writes table and figure of what was concluded into a folder.
        """
        check_seeds(seeds)
        for name, value, least in (
            ("proxies", proxies, 3),
            ("held_out", held_out, FEWEST_HELD_OUT),
            ("noise_seeds", noise_seeds, 1),
        ):
            if value < least:
                raise ValueError(f"study.{name}: expected at least {least}, got {value}; raise it")
        if check_width <= proxy_width:
            raise ValueError(
                f"study.check_width must lie beyond study.proxy_width={proxy_width}; got "
                f"{check_width}, which tries nothing new"
            )
        self.target, self.n_fit, self.n_held_out = target, proxies, held_out
        self.noise_seeds = range(1, noise_seeds + 1)
        self.small = {"width": proxy_width, "tokens": proxy_tokens}
        self.large = {"width": check_width, "tokens": check_tokens}
        self.draw, self.draw_seed, self.epochs, self.choice = draw, draw_seed, epochs, choice
        self.seeds, self.report = range(1, seeds + 1), report

    # ------------------------------------------------------------------------------------- the jobs

    def natural(self) -> list[Job]:
        """The natural mixture at the proxies' size."""
        own = mixtures.tempered(1.0)
        return [
            mixtures.job(f"natural-s{seed}", "natural", **self.small, seed=seed, sampler=own)
            for seed in self.noise_seeds
        ]

    def proxies(self, drawn: Sequence[Mixture] | None) -> list[Job]:
        """A small model per mixture; without weights as long as no domain is known."""
        names = [
            *((f"fit-{i:03d}", "fit") for i in range(1, self.n_fit + 1)),
            *((f"held-{i:03d}", "held_out") for i in range(1, self.n_held_out + 1)),
        ]
        samplers = [{}] * len(names) if drawn is None else [mixtures.fixed(own) for own in drawn]
        return [
            mixtures.job(name, role, **self.small, seed=1, sampler=own)
            for (name, role), own in zip(names, samplers, strict=True)
        ]

    def checks(self, candidates: Mapping[str, Mapping[str, Any]] | None) -> list[Job]:
        """Models per mixture, size and seed; without weights before the prediction.

        Small ones of the natural mixture are there already.
        """
        return [
            mixtures.job(
                f"{name}-w{size['width']}-s{seed}",
                role,
                **size,
                seed=seed,
                sampler={} if candidates is None else mixtures.fixed(candidates[name]["weights"]),
            )
            for role, size in (("small_check", self.small), ("check", self.large))
            for name in (CHOSEN, *RIVALS)
            for seed in self.seeds
            if (role, name) != ("small_check", "natural")
        ]

    def plan(self) -> Sequence[Job]:
        """All jobs, the larger models last."""
        return [*self.natural(), *self.proxies(None), *self.checks(None)]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The natural mixture; the proxies; then, once a prediction is written, the checks."""
        if waiting := missing(self.natural(), records):
            return waiting
        if waiting := missing(self._drawn(records), records):
            return waiting
        prediction = self.predict(records, folder)
        return [] if prediction is None else missing(self.checks(prediction["candidates"]), records)

    def _tokens(self, records: Mapping[str, Record]) -> dict[str, int]:
        """Training tokens of every domain; none before the first job has ended."""
        first = records.get(self.natural()[0].name)
        return {} if first is None else mixtures.domain_tokens(first)

    def _drawn(self, records: Mapping[str, Record]) -> list[Job]:
        """The proxies with their mixtures."""
        tokens = self._tokens(records)
        mixtures.check_target(self.target, records[self.natural()[0].name])
        weights_MS = self.draw.mixtures(
            np.array(list(mixtures.shares(tokens).values())),
            epoch_bounds(list(tokens.values()), self.large["tokens"], self.epochs),
            self.n_fit + self.n_held_out,
            self.draw_seed,
        )
        return self.proxies([dict(zip(tokens, row, strict=True)) for row in weights_MS.tolist()])

    # ------------------------------------------------------------------------------- the prediction

    def predict(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any] | None:
        """Reads the prediction, or writes it; None where too few proxies left a loss."""
        tokens, jobs = self._tokens(records), self._drawn(records)
        points = {role: self._points(jobs, role, records) for role in ("fit", "held_out")}
        if len(points["fit"]) <= len(tokens) or len(points["held_out"]) < FEWEST_HELD_OUT:
            return None
        inputs = {
            "target": self.target,
            "tokens": tokens,
            "epochs": self.epochs,
            "check_tokens": self.large["tokens"],
            "chooser": self.choice.chooser,
            **points,
        }
        known = read_prediction(folder, inputs)
        if known is not None:
            return known
        before = not any(job.name in records for job in self.checks(None))
        answers = self.choice.answers(
            tokens, **points, budget=self.large["tokens"], epochs=self.epochs
        )
        return write_prediction(folder, inputs, {"before_check": before} | answers)

    def _points(
        self, jobs: Sequence[Job], role: str, records: Mapping[str, Record]
    ) -> list[dict[str, Any]]:
        """The proxies of a role that left a loss, with their mixtures."""
        found = []
        for job in jobs:
            loss = mixtures.target_loss(records.get(job.name), self.target)
            if job.role == role and loss is not None:
                weights = job.overrides["sampler.mixture.weights"]
                found.append({"job": job.name, "weights": weights, "loss": loss})
        return found

    # ------------------------------------------------------------------------------- the conclusion

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets what was chosen beside its rivals, and reports."""
        small = [*self.natural(), *self.proxies(None)]
        prediction = None if missing(small, records) else self.predict(records, folder)
        rows = [self._row(job, records.get(job.name)) for job in self.plan()]
        result: dict[str, Any] = {
            "study": "regmix",
            "target": self.target,
            "level": self.choice.level,
            "chooser": self.choice.chooser,
            "tokens": self._tokens(records),
            "small": self.small,
            "large": self.large,
            "noise": noise(rows),
            "regressors": {},
            "held_out": [],
            "candidates": {},
            "against": {},
            "predicted_before_check": None,
            "jobs": rows,
            "warnings": left_out(line for line in rows if line["outcome"] != "missing"),
        }
        if prediction is None:
            result["warnings"].append("nothing was predicted: too few proxies left a loss")
        else:
            result |= self._outcome(prediction, result, records)
        self.report(result, folder)
        return result

    def _outcome(
        self,
        prediction: Mapping[str, Any],
        result: Mapping[str, Any],
        records: Mapping[str, Record],
    ) -> dict[str, Any]:
        """The part of the result that a prediction gives."""
        rows = {name: _of(name, "check", result["jobs"]) for name in (CHOSEN, *RIVALS)}
        small = {
            name: _of(name, "natural" if name == "natural" else "small_check", result["jobs"])
            for name in rows
        }
        losses = {name: runs.by_seed(own, "target") for name, own in rows.items()}
        small_losses = {name: runs.by_seed(own, "target") for name, own in small.items()}
        candidates = {
            name: prediction["candidates"][name]
            | {
                "check": runs.summary(losses[name]),
                "losses": losses[name],
                "small": runs.summary(small_losses[name]),
                "small_losses": small_losses[name],
                "domains": mixtures.mean_domains(records.get(line["job"]) for line in own),
            }
            for name, own in rows.items()
        }
        words = [f"{n}: {w}" for n, own in prediction["fitted"].items() for w in own["warnings"]]
        if not prediction["before_check"]:
            words.append("the larger models were already trained when this prediction was written")
        return {
            "regressors": prediction["fitted"],
            "held_out": [[p["job"], p["loss"]] for p in prediction["inputs"]["held_out"]],
            "candidates": candidates,
            "best_proxy": prediction["best_proxy"],
            "against": {
                name: runs.difference(losses[CHOSEN], losses[name], self.choice.level)
                for name in RIVALS
            },
            "small_against": {
                name: runs.difference(small_losses[CHOSEN], small_losses[name], self.choice.level)
                for name in RIVALS
            },
            "predicted_at": prediction["time"],
            "predicted_before_check": prediction["before_check"],
            "warnings": [*result["warnings"], *words],
        }

    def _row(self, job: Job, record: Record | None) -> Row:
        mixture = {
            "natural": "natural",
            "small_check": job.name.rpartition("-w")[0],
            "check": job.name.rpartition("-w")[0],
        }.get(job.role)
        line = runs.row(job, record, mixture=mixture)
        return line | {"target": mixtures.target_loss(record, self.target)}


def _of(mixture: str, role: str, rows: Sequence[Row]) -> list[Row]:
    return [line for line in rows if (line["mixture"], line["role"]) == (mixture, role)]


def noise(rows: Sequence[Row]) -> dict[str, float | None]:
    """What the seed does to the target, what the mixture does, and the ceiling of a correlation."""

    def spread_of(*roles: str) -> float | None:
        known = [line["target"] for line in rows if line["role"] in roles]
        return pooled_sd([[value for value in known if value is not None]])

    sd, spread = spread_of("natural"), spread_of("fit", "held_out")
    ceiling = None
    if sd is not None and spread:
        ceiling = math.sqrt(max(0.0, 1 - (sd / spread) ** 2))
    return {"sd": sd, "spread": spread, "ceiling": ceiling}
