"""A regressor fitted to mixtures, judged on others, and the best mixture that it knows.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.best import Best, best_mixture
from windtunnel.scaling.mixture.rank import Rank, spearman
from windtunnel.scaling.mixture.surrogate import Predict

FAR = 0.5  # of a mixture placed otherwise than in any that was trained


def judged(
    predict: Predict,
    weights_MS: ndarray,
    loss_M: ndarray,
    *,
    level: float,
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Rank correlation with its interval and squared error on mixtures that were not fitted.

    Beside the error stands the variance of the losses: what predicting their mean would leave.
    """
    predicted_M = predict(weights_MS)
    rank: Rank = spearman(predicted_M, loss_M, level=level, n_resamples=n_resamples, seed=seed)
    return {
        "spearman": rank.rho,
        "spearman_low": rank.low,
        "spearman_high": rank.high,
        "mse": float(np.mean((predicted_M - loss_M) ** 2)),
        "variance": float(np.var(loss_M)),
        "predicted": predicted_M.tolist(),
    }


def sought(
    predict: Predict,
    domains: Sequence[str],
    candidates_MS: ndarray,
    top: int,
    bound_S: ndarray,
    fitted_MS: ndarray,
) -> dict[str, Any]:
    """The best mixture by name, with what speaks against trusting it in words."""
    best = best_mixture(predict, candidates_MS, top, bound_S, fitted_MS)
    return {
        "best_mixture": dict(zip(domains, best.weights_S.tolist(), strict=True)),
        "best_predicted": best.loss,
        "warnings": _doubts(best, domains, predict(fitted_MS)),
    }


def _doubts(best: Best, domains: Sequence[str], fitted_M: ndarray) -> list[str]:
    words = []
    if np.ptp(fitted_M) == 0:
        words.append(
            "it predicts the same loss for every mixture, so that its best one means nothing: too "
            "few rows for its settings"
        )
    if best.at_bound:
        names = ", ".join(domains[i] for i in best.at_bound)
        words.append(f"its best mixture has {names} at the bound: more might be better still")
    if best.away > FAR:
        words.append(
            f"its best mixture is far from all that were trained: {100 * best.away:.0f} % of it "
            "is placed otherwise than in the nearest"
        )
    return words
