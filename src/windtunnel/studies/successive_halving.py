"""Many trials, of which the poor ones are stopped early: successive halving.

Every trial trains to the first rung; the best of them go on from their checkpoints to the next, and
so on to the end of the budget. All rungs are under the schedule of the whole budget, so a trial
that goes on is the run that it would have been alone. Trials are ranked by one of the rules of
`halving`; the law that `predicted` asks is fitted to the curves of a few trials, the pilots, which
are trained whole first.

With `truth` the trials that were stopped are trained to the end afterwards, and how often each
rule keeps the trial that is truly best is counted over resamples of trials and seeds.

Source: Jamieson and Talwalkar 2016, arXiv 1502.07943; that early losses rank learning rates wrongly
and the end should be predicted: microsoft/mup issue 64; Tissue et al. 2024, arXiv 2408.11029.

Axes: J trials, S seeds, E evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.interfaces import Curve, Job, Record, Schedule
from windtunnel.studies.halving import (
    EARLY_LOSS,
    PREDICTED,
    PROPORTIONAL,
    RULES,
    agreement,
    judge,
    survivors,
)
from windtunnel.studies.heats import Heats
from windtunnel.studies.members import check_seeds, has_ended, held_out_loss, missing
from windtunnel.studies.method import Method
from windtunnel.studies.pilot import LAW, Pilot

DRAWN = 2 / 3  # of the trials, in a resample
LEAST_POINTS = 8  # of a pilot's curve: two per coefficient of the law
NEEDED = {EARLY_LOSS: 0, PROPORTIONAL: 1, PREDICTED: 2}  # rates of pilots


class SuccessiveHalving:
    """Trials x seeds, fewer of them at every rung."""

    def __init__(
        self,
        *,
        trials: Mapping[str, Mapping[str, Any]],
        pilots: Sequence[str],
        rule: str,
        rungs: Sequence[int],
        reduction: int,
        truth: bool,
        schedule: Schedule,
        lr: float,
        warmup_tokens: int,
        total_tokens: int,
        evaluations: int,
        sequences: int,
        length: int,
        decay: float,
        seeds: int,
        method: Method,
        report: Callable[[dict[str, Any], Path], None],
    ) -> None:
        """Refuses what could not be halved, before any work.

        Args:
            trials: overrides of every trial, by its name.
            pilots: the trials that the law is fitted to, the most usual one first.
            rule: what trials are ranked by, `early_loss`, `predicted` or `proportional`.
            rungs: after how many evaluations trials are ranked; the last is all of them.
            reduction: of how many trials one goes on.
            truth: train the stopped trials to the end afterwards, and judge the rules.
            schedule: multiplier of the peak rate, as every trial has it.
            lr: peak learning rate, where a trial gives no `optim.lr`.
            warmup_tokens: tokens over which the schedule warms up.
            total_tokens: budget of a whole run.
            evaluations: held-out evaluations of a whole run, evenly spaced.
            sequences: sequences of a batch.
            length: tokens of a sequence.
            decay: what is left of the annealing momentum after a step.
            seeds: how many times all of it is done; they are 1, 2, ...
            method: how to fit the law; its resamples and seed are those of the judgement.
            report: writes table and figure of what was concluded into a folder.
        """
        check_seeds(seeds)
        if len(trials) < reduction or reduction < 2:
            raise ValueError(
                f"study.reduction must be 2 or more, and no more than there are trials, "
                f"{len(trials)}; got {reduction}"
            )
        if not set(pilots) <= set(trials):
            raise ValueError(
                f"study.pilots must be some of study.trials, {', '.join(trials)}; got "
                f"{', '.join(pilots)}"
            )
        if rule not in RULES:
            raise ValueError(f"study.rule must be one of {', '.join(RULES)}; got {rule}")
        # A run takes its budget in whole steps and evaluations, and its schedule ends with it.
        self.each = total_tokens // (sequences * length) // evaluations * sequences * length
        self.tokens = [self.each * (i + 1) for i in range(evaluations)]
        self.trials = {name: dict(own) for name, own in trials.items()}
        self.heats = Heats(self.trials, list(rungs), self.tokens)
        self.pilots, self.rule, self.truth = list(pilots), rule, truth
        self.rungs, self.reduction = list(rungs), reduction
        self.lr, self.method, self.report = lr, method, report
        self.law = Pilot(schedule, warmup_tokens, self.tokens, sequences * length, decay, method)
        if evaluations - self.law.first < LEAST_POINTS:
            raise ValueError(
                f"budget.evaluations must leave {LEAST_POINTS} points of a curve after the warm-up;"
                f" got {evaluations}, which leave {evaluations - self.law.first}: raise it"
            )
        n_rates = len({self._lr(name) for name in pilots})
        if n_rates < NEEDED[rule]:
            raise ValueError(
                f"study.rule={rule} needs study.pilots at {NEEDED[rule]} learning rates or more, "
                f"got {', '.join(pilots) or 'none'}: name more of study.trials"
            )
        self.seeds = list(range(1, seeds + 1))
        self._fitted: dict[Any, dict[str, float]] = {}

    def plan(self) -> Sequence[Job]:
        """The pilots and the first rung; who comes further is not known."""
        first = [
            self.heats.rung(trial, seed, 0, None) for seed in self.seeds for trial in self.trials
        ]
        return [*self._pilots(), *first]

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The pilots; rung after rung for every seed; then what the truth still needs."""
        if waiting := missing(self._pilots(), records):
            return waiting
        jobs: list[Job] = []
        for seed in self.seeds:
            inside, waiting = self.stages(seed, records, folder)
            jobs += waiting or (self._rests(inside, seed, records, folder) if self.truth else [])
        return missing(jobs, records)

    def stages(
        self, seed: int, records: Mapping[str, Record], folder: Path | None
    ) -> tuple[list[list[str]], list[Job]]:
        """Who entered each rung so far, and the jobs that are waited for."""
        names, entered = list(self.trials), []
        for k in range(len(self.rungs)):
            entered.append(names)
            jobs = [self.heats.rung(trial, seed, k, folder) for trial in names]
            waiting = missing(jobs, records)
            if waiting or k == len(self.rungs) - 1:
                return entered, waiting
            names = self._kept(names, seed, k, records)
            if not names:
                return entered, []
        return entered, []

    def _pilots(self) -> list[Job]:
        """Those that are trained: all for the truth, or as many as the rule needs."""
        names = self.pilots if self.truth or self.rule == PREDICTED else self.pilots[:1]
        asked = self.truth or self.rule != EARLY_LOSS
        return [self.heats.pilot(name) for name in names] if asked else []

    def _kept(
        self, names: list[str], seed: int, k: int, records: Mapping[str, Record]
    ) -> list[str]:
        """The trials that go on after rung k; one that diverged does not."""
        alive = [
            n for n in names if held_out_loss(records[self.heats.name(n, k, seed)]) is not None
        ]
        if not alive:
            return []
        theta = self._laws(records).get(self.rule)
        losses_J = [held_out_loss(records[self.heats.name(n, k, seed)]) for n in alive]
        score_J = np.array(losses_J, float)
        if theta is not None:
            score_J += [self.law.gain(theta, self._lr(name))[self.rungs[k] - 1] for name in alive]
        n_kept = max(1, len(names) // self.reduction)
        order = survivors(score_J, 1)
        return [alive[i] for i in order[:n_kept]]

    def _rests(
        self, entered: list[list[str]], seed: int, records: Mapping[str, Record], folder: Path
    ) -> list[Job]:
        """The rest of every trial that was stopped and had not diverged."""
        jobs = []
        for k, names in enumerate(entered[:-1]):
            for trial in set(names) - set(entered[k + 1]):
                if held_out_loss(records[self.heats.name(trial, k, seed)]) is not None:
                    jobs.append(self.heats.rest(trial, seed, k, folder))
        return sorted(jobs, key=lambda job: job.name)

    # -------------------------------------------------------------------------------- conclusion

    def _laws(self, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
        """The law as each rule has it; none for a rule whose pilots left too few curves."""
        curves = {}
        for name, job in zip(self.pilots, self._pilots(), strict=False):
            if held_out_loss(record := records.get(job.name)) is not None:
                curves.setdefault(self._lr(name), self._curve(record))
        first = self._lr(self.pilots[0]) if self.pilots else None
        given = {PREDICTED: curves, PROPORTIONAL: {first: curves[first]} if first in curves else {}}
        return {rule: self._fit(own) for rule, own in given.items() if len(own) >= NEEDED[rule]}

    def _fit(self, curves: Mapping[float, Sequence[float | None]]) -> dict[str, float]:
        """A law fitted once."""
        key = tuple((lr, tuple(curve)) for lr, curve in curves.items())
        if key not in self._fitted:
            self._fitted[key] = self.law.fit(curves)
        return self._fitted[key]

    def _lr(self, trial: str) -> float:
        return float(self.trials[trial].get("optim.lr", self.lr))

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Says which trial won, what it cost, and how often each rule keeps the best."""
        laws = self._laws(records)
        entered = {seed: self.stages(seed, records, None)[0] for seed in self.seeds}
        last = {
            (trial, seed): self._last(trial, seed, records)
            for trial in self.trials
            for seed in self.seeds
        }
        result: dict[str, Any] = {
            "study": "successive_halving",
            "rule": self.rule,
            "rungs": self.rungs,
            "reduction": self.reduction,
            "tokens": self.tokens,
            "formula": LAW.formula,
            "laws": laws,
            "entered": {str(seed): stages for seed, stages in entered.items()},
            "won": {str(seed): self._winner(last, seed, entered[seed]) for seed in self.seeds},
            "cost": self._cost(entered),
            "curves": self._each(last, self._curve),
            "final": self._each(last, self._final),
            "judgement": None,
            "jobs": [self._row(record) for _, record in sorted(records.items())],
            "warnings": [],
        }
        whole = all(self._is_whole(record) for record in last.values())
        if self.truth and whole:
            result["judgement"] = self._judge(last, records, laws)
        elif self.truth:
            result["warnings"].append("no judgement: some trials have not been trained to the end")
        if NEEDED[self.rule] and self.rule not in laws:
            result["warnings"].append(
                "the pilots left too few curves, so trials are ranked by early loss"
            )
        self.report(result, folder)
        return result

    def _each(
        self, last: Mapping[tuple[str, int], Record | None], what: Callable[[Record | None], Any]
    ) -> dict[str, dict[str, Any]]:
        """Something of every trial's record, by trial and seed."""
        return {t: {str(s): what(last[t, s]) for s in self.seeds} for t in self.trials}

    def _last(self, trial: str, seed: int, records: Mapping[str, Record]) -> Record | None:
        """The record of a trial that goes furthest."""
        names = self.heats.names(trial, seed)
        found = [records[name] for name in names if name in records]
        return found[-1] if found else None

    def _is_whole(self, record: Record | None) -> bool:
        """Whether a trial came to its end: of the budget, or of all learning."""
        if record is None or not has_ended(record):
            return False
        return record.outcome == "diverged" or record.tokens >= self.tokens[-1]

    def _final(self, record: Record | None) -> float | None:
        """A trial's loss at the end of the budget; None where it was stopped before."""
        return held_out_loss(record) if self._is_whole(record) else None

    def _winner(
        self, last: Mapping[tuple[str, int], Record | None], seed: int, stages: list[list[str]]
    ) -> str | None:
        if len(stages) < len(self.rungs):
            return None
        known = {n: held_out_loss(last[n, seed]) for n in stages[-1]}
        losses = {n: loss for n, loss in known.items() if loss is not None}
        return min(losses, key=lambda n: losses[n]) if losses else None

    def _cost(self, entered: Mapping[int, list[list[str]]]) -> dict[str, float]:
        """Whole runs' worth of training, of one seed: halving, the pilots, and all trials whole."""
        spans = np.diff([0, *self.rungs]) / self.rungs[-1]
        per_seed = [
            sum(len(names) * span for names, span in zip(stages, spans, strict=False))
            for stages in entered.values()
        ]
        pilot = float(min(NEEDED[self.rule], 1) and len(self._pilots()))
        return {"halving": float(np.mean(per_seed)), "pilot": pilot, "all": float(len(self.trials))}

    def _curve(self, record: Record | None) -> list[float | None]:
        """Held-out losses after every evaluation; None where there is none."""
        curve = Curve() if record is None else record.eval_curve
        pairs = zip(curve.tokens, curve.values, strict=True)
        at = {tokens // self.each - 1: v for tokens, v in pairs if tokens % self.each == 0}
        return [at.get(i) for i in range(len(self.tokens))]

    def _judge(
        self,
        last: Mapping[tuple[str, int], Record | None],
        records: Mapping[str, Record],
        laws: Mapping[str, Mapping[str, float]],
    ) -> dict[str, Any]:
        """What each rule does on the curves of all trials."""
        first = sorted(r.train_curve.values[0] for r in records.values() if r.train_curve.values)
        cap = first[len(first) // 2]
        loss_JSE = np.full((len(self.trials), len(self.seeds), len(self.tokens)), cap)
        for j, trial in enumerate(self.trials):
            for s, seed in enumerate(self.seeds):
                for i, value in enumerate(self._curve(last[trial, seed])):
                    if value is not None:
                        loss_JSE[j, s, i] = min(value, cap)
        scores = {EARLY_LOSS: loss_JSE}
        for rule, theta in laws.items():
            gain_JE = np.array([self.law.gain(theta, self._lr(trial)) for trial in self.trials])
            scores[rule] = loss_JSE + gain_JE[:, None]
        n_drawn = max(self.reduction, round(len(self.trials) * DRAWN))
        rules = judge(
            scores,
            loss_JSE,
            self.rungs,
            self.reduction,
            n_resamples=self.method.n_resamples,
            n_drawn=n_drawn,
            rng=np.random.default_rng(self.method.seed),
        )
        truth_J = loss_JSE[:, :, -1].mean(1)
        for rule, score_JSE in scores.items():
            mean_JE = score_JSE.mean(1)
            rules[rule]["agreement"] = [
                agreement(mean_JE[:, rung - 1], truth_J) for rung in self.rungs[:-1]
            ]
        names = list(self.trials)
        return {
            "best": names[int(np.argmin(truth_J))],
            "n_resamples": self.method.n_resamples,
            "n_drawn": n_drawn,
            "first_at_rung": {
                rule: [names[int(np.argmin(score.mean(1)[:, rung - 1]))] for rung in self.rungs]
                for rule, score in scores.items()
            },
            "rules": rules,
        }

    def _row(self, record: Record) -> dict[str, Any]:
        """One line of the study's table."""
        return {
            "job": record.name,
            "role": record.role,
            "seed": record.seed,
            "tokens": record.tokens,
            "outcome": record.outcome,
            "outcome_step": record.outcome_step,
            "loss": held_out_loss(record),
            "seconds": record.seconds,
        }
