"""Which trials go on: rules by which to rank curves that are not at their end.

    early loss      the loss at the rung
    predicted       the loss at the rung + what a law of its rates still expects to the end
                    (`pilot`), which it has learned from runs at two rates or more
    proportional    the same from one run: the annealing to come is as the rate

A rate that is twice as high has twice as much annealing before it, so a rule that does not look
ahead does not see what the end of the schedule still gives. Of n trials the best
floor(n / reduction), at least one, go on.

Source: Jamieson and Talwalkar 2016, arXiv 1502.07943 (successive halving); Tissue et al. 2024,
arXiv 2408.11029 (the law). Ranking by what the law predicts is ours.

Axes: J trials, E evaluations, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.stats import rankdata

EARLY_LOSS, PREDICTED, PROPORTIONAL = "early_loss", "predicted", "proportional"
RULES = (EARLY_LOSS, PREDICTED, PROPORTIONAL)


def survivors(score_J: ndarray, reduction: int) -> list[int]:
    """Places of the trials that go on, lowest score first; ties go to the earlier trial."""
    return np.argsort(score_J, kind="stable")[: max(1, len(score_J) // reduction)].tolist()


def replay(
    score_JE: ndarray, loss_J: ndarray, rungs: Sequence[int], reduction: int
) -> list[list[int]]:
    """Places of the trials that are in after each rung but the last, and then the one that wins.

    Args:
        score_JE: what trials are ranked by after each evaluation [J, E].
        loss_J: their losses at the end in nats [J], by which the last ones are ranked.
        rungs: after how many evaluations a rung ends; the last is the end.
        reduction: of how many trials one goes on.
    """
    inside, found = list(range(len(loss_J))), []
    for rung in rungs[:-1]:
        inside = [inside[i] for i in survivors(score_JE[inside, rung - 1], reduction)]
        found.append(inside)
    return [*found, [min(inside, key=lambda j: loss_J[j])]]


def judge(
    scores: Mapping[str, ndarray],
    loss_JSE: ndarray,
    rungs: Sequence[int],
    reduction: int,
    *,
    n_resamples: int,
    n_drawn: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """How often each rule keeps the true winner, and what it costs when it does not.

    Every resample draws some of the trials, and for each one of its seeds; the true winner of these
    is the one with the lowest loss at the end over all seeds.

    Args:
        scores: what trials are ranked by, by rule [J, S, E].
        loss_JSE: held-out losses in nats; infinite once a run has diverged.
        rungs: after how many evaluations a rung ends.
        reduction: of how many trials one goes on.
        n_resamples: how many.
        n_drawn: trials of each.
        rng: draws them.

    Returns:
        By rule: `kept`, the share in which the winner is in after each rung, `won`, in which it
        wins, and `regret`, the loss of what wins above that of the winner, in nats over all seeds.
    """
    n_trials, n_seeds, _ = loss_JSE.shape
    truth_J = loss_JSE[:, :, -1].mean(1)
    kept = {rule: np.zeros(len(rungs)) for rule in scores}
    regret: dict[str, list[float]] = {rule: [] for rule in scores}
    for _ in range(n_resamples):
        drawn = rng.choice(n_trials, n_drawn, replace=False)
        seeds = rng.integers(n_seeds, size=n_drawn)
        best = int(np.argmin(truth_J[drawn]))
        for rule, score_JSE in scores.items():
            stages = replay(score_JSE[drawn, seeds], loss_JSE[drawn, seeds, -1], rungs, reduction)
            kept[rule] += [best in inside for inside in stages]
            regret[rule].append(float(truth_J[drawn[stages[-1][0]]] - truth_J[drawn[best]]))
    return {
        rule: {
            "kept": (kept[rule][:-1] / n_resamples).tolist(),
            "won": float(kept[rule][-1] / n_resamples),
            "regret": float(np.mean(regret[rule])),
        }
        for rule in scores
    }


def agreement(score_J: ndarray, loss_J: ndarray) -> float | None:
    """Spearman's rank correlation of a score with the loss at the end; None where all are equal."""
    a_J, b_J = rankdata(score_J) - (len(score_J) + 1) / 2, rankdata(loss_J) - (len(loss_J) + 1) / 2
    size = float(np.sqrt((a_J @ a_J) * (b_J @ b_J)))
    return float(a_J @ b_J) / size if size else None
