"""Which share of the sampling each language should have: a law fitted small, tried larger.

Batch 1 trains a small model on the languages as they are, which says how large they are. Batch 2
trains such models at ratios drawn around that. For each language, L = L* p^-gamma is fitted to its
losses over its shares p; the shares that minimise the mean of all languages follow, and
`prediction.json` is written. Only then does batch 3 train larger models, for each seed, at these
shares and at the usual ones: p proportional to n^alpha, n a language's tokens (temperature 1/alpha;
1 natural, 0 uniform), and UniMax, uniform as far as a number of epochs allows.

Source: He et al. 2024, arXiv 2410.12883 (the law, and that gamma does not depend on the size);
Conneau et al. 2020, arXiv 1911.02116 (temperature); Chung et al. 2023, arXiv 2304.09151 (UniMax).
Deviation: single languages where the law's source has families; the mean over languages where it
has weights.

Axes: L languages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.interfaces import Job, Record
from windtunnel.scaling.laws.multilingual import optimal_shares
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.sampling_ratio import Ratio, fit_ratio
from windtunnel.studies import mixtures, runs
from windtunnel.studies.members import Row, check_seeds, left_out, missing
from windtunnel.studies.mixtures import Mixture
from windtunnel.studies.prediction import read_prediction, write_prediction

OPTIMAL, UNIMAX = "optimal", "unimax"
LEAST_GAMMA = 1e-3  # a language that sampling does not help still gets a little


class Multilingual:
    """Ratios at a small size, laws, a prediction, then the usual ratios and the optimal one."""

    def __init__(
        self,
        *,
        ratios: int,
        draw: Draw,
        draw_seed: int,
        least_share: float,
        alphas: Sequence[float],
        unimax_epochs: float,
        width: int,
        tokens: int,
        check_width: int,
        check_tokens: int,
        seeds: int,
        level: float,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be fitted or compared, before any work.

        Args:
            ratios: how many ratios are drawn and fitted.
            draw: how they are drawn.
            draw_seed: of the draw.
            least_share: runs that give a language less are left out of its fit.
            alphas: powers of the languages' sizes whose ratios are tried.
            unimax_epochs: passes over a language's text that UniMax allows.
            width: width of the models that are fitted.
            tokens: training tokens of each.
            check_width: width of the larger models.
            check_tokens: training tokens of each.
            seeds: how many larger models each ratio gets; their seeds are 1, 2, ...
            level: probability that intervals claim.
            report: writes table and figure of what was concluded into a folder.
        """
        check_seeds(seeds)
        runs.check_level(level)
        if ratios < 4:
            raise ValueError(
                f"study.ratios: expected at least 4 to fit a line and judge it, got {ratios}"
            )
        if not 0 < least_share < 1:
            raise ValueError(
                f"study.least_share: expected between 0 and 1, got {least_share}; 0.01 is usual"
            )
        if len(set(alphas)) < len(alphas) or any(alpha < 0 for alpha in alphas):
            raise ValueError(
                f"study.alphas must hold different powers from 0 up; got {list(alphas)}"
            )
        if check_width <= width:
            raise ValueError(
                f"study.check_width must lie beyond study.width={width}; got {check_width}, which "
                "tries nothing new"
            )
        self.n_ratios, self.draw, self.draw_seed = ratios, draw, draw_seed
        self.least_share, self.level, self.report = least_share, level, report
        self.small = {"width": width, "tokens": tokens}
        self.large = {"width": check_width, "tokens": check_tokens}
        self.seeds = range(1, seeds + 1)
        self.usual = {f"alpha_{alpha:g}": mixtures.tempered(float(alpha)) for alpha in alphas}
        self.usual[UNIMAX] = {"sampler": "unimax", "sampler.mixture.epochs": unimax_epochs}

    # ------------------------------------------------------------------------------------- the jobs

    def natural(self) -> Job:
        """The small model on the languages as they are."""
        own = mixtures.tempered(1.0)
        return mixtures.job("ratio-000", "ratio", **self.small, seed=1, sampler=own)

    def ratios(self, drawn: Sequence[Mixture] | None) -> list[Job]:
        """A small model per ratio; without shares as long as no language is known."""
        samplers = [{}] * self.n_ratios if drawn is None else [mixtures.fixed(own) for own in drawn]
        return [
            mixtures.job(f"ratio-{i:03d}", "ratio", **self.small, seed=1, sampler=own)
            for i, own in enumerate(samplers, 1)
        ]

    def checks(self, optimal: Mixture | None) -> list[Job]:
        """A larger model per ratio and seed; the optimal shares only once they are known."""
        samplers = {OPTIMAL: {} if optimal is None else mixtures.fixed(optimal), **self.usual}
        return [
            mixtures.job(f"{name}-s{seed}", name, **self.large, seed=seed, sampler=own)
            for name, own in samplers.items()
            for seed in self.seeds
        ]

    def plan(self) -> Sequence[Job]:
        """All jobs, the larger models last."""
        return [self.natural(), *self.ratios(None), *self.checks(None)]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The languages as they are; the ratios; then, once a prediction is written, the checks."""
        if waiting := missing([self.natural()], records):
            return waiting
        if waiting := missing(self._drawn(records), records):
            return waiting
        prediction = self.predict(records, folder)
        return [] if prediction is None else missing(self.checks(prediction[OPTIMAL]), records)

    def _tokens(self, records: Mapping[str, Record]) -> dict[str, int]:
        first = records.get(self.natural().name)
        return {} if first is None else mixtures.domain_tokens(first)

    def _drawn(self, records: Mapping[str, Record]) -> list[Job]:
        tokens = self._tokens(records)
        if len(tokens) < 2:
            raise ValueError(
                f"data: expected at least two languages, each a domain, got {', '.join(tokens)}; "
                "give a folder with a subfolder for each"
            )
        natural_L = np.array(list(mixtures.shares(tokens).values()))
        drawn_ML = self.draw.mixtures(
            natural_L, np.ones(len(tokens)), self.n_ratios, self.draw_seed
        )
        return self.ratios([dict(zip(tokens, row, strict=True)) for row in drawn_ML.tolist()])

    # ------------------------------------------------------------------------------- the prediction

    def predict(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any] | None:
        """Reads the prediction, or writes it; None where a language has too few losses."""
        jobs = [self.natural(), *self._drawn(records)]
        points = [
            {"job": job.name, "shares": realised(records[job.name]), "losses": losses}
            for job in jobs
            if (losses := mixtures.domain_losses(records.get(job.name)))
        ]
        tokens = self._tokens(records)
        enough = [len(self._points(points, name)[0]) >= 4 for name in tokens]
        if not all(enough):
            return None
        inputs = {"tokens": tokens, "level": self.level, "points": points}
        known = read_prediction(folder, inputs)
        if known is not None:
            return known
        laws = {name: fit_ratio(*self._points(points, name), self.level) for name in tokens}
        optimal = best_shares(laws)
        predictions = {
            "before_check": not any(job.name in records for job in self.checks(None)),
            "laws": {name: asdict(law) for name, law in laws.items()},
            OPTIMAL: optimal,
            "predicted": predicted(laws, optimal),
        }
        return write_prediction(folder, inputs, predictions)

    def _points(
        self, points: Sequence[Mapping[str, Any]], name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares and losses of one language, where its share is not too small."""
        own = [
            (point["shares"][name], point["losses"][name])
            for point in points
            if point["shares"].get(name, 0.0) >= self.least_share and name in point["losses"]
        ]
        return np.array([share for share, _ in own]), np.array([loss for _, loss in own])

    # ------------------------------------------------------------------------------- the conclusion

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Sets the optimal ratio beside the usual ones, and reports."""
        fitted = [self.natural(), *self.ratios(None)]
        prediction = None if missing(fitted, records) else self.predict(records, folder)
        rows = [_row(job, records.get(job.name)) for job in self.plan()]
        result: dict[str, Any] = {
            "study": "multilingual",
            "level": self.level,
            "tokens": self._tokens(records),
            "small": self.small,
            "large": self.large,
            "laws": {},
            "points": [],
            "arms": {},
            "against": {},
            "predicted_before_check": None,
            "jobs": rows,
            "warnings": left_out(line for line in rows if line["outcome"] != "missing"),
        }
        if prediction is None:
            result["warnings"].append("nothing was predicted: too few ratios left a loss")
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
        laws = {name: Ratio(**own) for name, own in prediction["laws"].items()}
        rows = {
            name: [line for line in result["jobs"] if line["role"] == name]
            for name in (OPTIMAL, *self.usual)
        }
        losses = {name: runs.by_seed(own, "mean") for name, own in rows.items()}
        arms = {}
        for name, own in rows.items():
            known = [records[line["job"]] for line in own if line["mean"] is not None]
            shares = prediction[OPTIMAL] if name == OPTIMAL else {}
            shares = realised(known[0]) if known else shares
            arms[name] = {
                "shares": shares,
                "epochs": mixtures.epochs(shares, result["tokens"], self.large["tokens"]),
                "predicted": predicted(laws, shares) if shares else None,
                "check": runs.summary(losses[name]),
                "losses": losses[name],
                "languages": mixtures.mean_domains(known),
            }
        words = []
        if not prediction["before_check"]:
            words.append("the larger models were already trained when this prediction was written")
        words += [
            f"{name}: its loss does not fall with its share (gamma = {law.gamma:.3f})"
            for name, law in laws.items()
            if law.gamma < LEAST_GAMMA
        ]
        return {
            "laws": prediction["laws"],
            "points": prediction["inputs"]["points"],
            "arms": arms,
            "against": {
                name: runs.difference(losses[OPTIMAL], losses[name], self.level)
                for name in self.usual
            },
            "predicted_at": prediction["time"],
            "predicted_before_check": prediction["before_check"],
            "warnings": [*result["warnings"], *words],
        }


def realised(record: Record) -> Mixture:
    """Shares of the sequences that a job's sampler gave to every language."""
    groups = record.data["sampler"]["groups"]
    return mixtures.shares({name: own["sequences"] for name, own in groups.items()})


def best_shares(laws: Mapping[str, Ratio]) -> Mixture:
    """The shares that minimise the mean loss of all languages."""
    gamma_L = np.array([max(law.gamma, LEAST_GAMMA) for law in laws.values()])
    alone_L = np.array([law.alone for law in laws.values()])
    shares_L = optimal_shares(np.ones(len(laws)) / len(laws), gamma_L, alone_L)
    return dict(zip(laws, shares_L.tolist(), strict=True))


def predicted(laws: Mapping[str, Ratio], shares: Mixture) -> float | None:
    """Mean loss of all languages by their laws; None where one has no share."""
    if any(shares.get(name, 0.0) <= 0 for name in laws):
        return None
    return math.fsum(law.loss(shares[name]) for name, law in laws.items()) / len(laws)


def _row(job: Job, record: Record | None) -> Row:
    return runs.row(job, record) | {"mean": mixtures.target_loss(record, mixtures.MEAN)}
