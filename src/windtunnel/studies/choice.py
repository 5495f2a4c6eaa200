"""How a study chooses a mixture: regressors fitted to proxies, judged, and asked for the best one.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.answer import judged, sought
from windtunnel.scaling.mixture.draw import Draw, epoch_bounds
from windtunnel.scaling.mixture.surrogate import Predict, Regressor
from windtunnel.studies import mixtures
from windtunnel.studies.mixtures import Mixture

CHOSEN = "chosen"
RIVALS = ("natural", "uniform", "best_proxy")

Point = Mapping[str, Any]  # a proxy: `job`, `weights` and `loss`


class Choice:
    """Regressors, and how the best mixture is sought by the one that chooses."""

    def __init__(
        self,
        *,
        regressors: Mapping[str, Regressor],
        chooser: str,
        search: Draw,
        n_search: int,
        top: int,
        level: float,
        n_resamples: int,
        seed: int,
    ) -> None:
        """Refuses settings that cannot be used.

        Args:
            regressors: of a loss on the weights, by name.
            chooser: name of the one that chooses.
            search: how the mixtures are drawn among which the best is sought.
            n_search: how many of them.
            top: how many of the best are averaged.
            level: probability that intervals claim.
            n_resamples: of the bootstrap of a rank correlation.
            seed: of draws and bootstrap.
        """
        if chooser not in regressors:
            raise ValueError(
                f"study.choice.chooser must be one of study.choice.regressors, "
                f"{', '.join(regressors)}; got {chooser}"
            )
        for name, value, least in (
            ("top", top, 1),
            ("n_search", n_search, top),
            ("n_resamples", n_resamples, 1),
        ):
            if value < least:
                raise ValueError(
                    f"study.choice.{name}: expected at least {least}, got {value}; raise it"
                )
        if not 0 < level < 1:
            raise ValueError(
                f"study.choice.level: expected between 0 and 1, got {level}; 0.95 is usual"
            )
        self.regressors, self.chooser = dict(regressors), chooser
        self.search, self.n_search, self.top = search, n_search, top
        self.level, self.n_resamples, self.seed = level, n_resamples, seed

    def answers(
        self,
        tokens: Mapping[str, int],
        fit: Sequence[Point],
        held_out: Sequence[Point],
        *,
        budget: int,
        epochs: float,
    ) -> dict[str, Any]:
        """What every regressor says, and the mixtures that are to be tried.

        Args:
            tokens: training tokens of every domain.
            fit: the proxies that are fitted.
            held_out: those that the fits are judged on.
            budget: training tokens of the trial.
            epochs: how often the chosen mixture may read a domain's text in it.
        """
        fitted_MS, loss_M = _table(tokens, fit)
        test = _table(tokens, held_out)
        natural = mixtures.shares(tokens)
        bound_S = epoch_bounds(list(tokens.values()), budget, epochs)
        search_MS = self.search.mixtures(
            np.array(list(natural.values())), bound_S, self.n_search, self.seed
        )
        predicts = {name: own.fit(fitted_MS, loss_M) for name, own in self.regressors.items()}
        found = {
            name: judged(predict, *test, level=self.level, n_resamples=self.n_resamples,
                         seed=self.seed)
            | sought(predict, list(tokens), search_MS, self.top, bound_S, fitted_MS)
            for name, predict in predicts.items()
        }  # fmt: skip
        best = min([*fit, *held_out], key=lambda point: point["loss"])
        weights = {
            CHOSEN: found[self.chooser]["best_mixture"],
            "natural": natural,
            "uniform": dict.fromkeys(tokens, 1 / len(tokens)),
            "best_proxy": best["weights"],
        }
        candidates = {
            name: {
                "weights": own,
                "epochs": mixtures.epochs(own, tokens, budget),
                "predicted": _each(predicts, tokens, own),
            }
            for name, own in weights.items()
        }
        return {"fitted": found, "candidates": candidates, "best_proxy": best["job"]}


def _table(tokens: Mapping[str, int], points: Sequence[Point]) -> tuple[ndarray, ndarray]:
    """Weights [M, S] and losses [M]."""
    rows = [[point["weights"].get(name, 0.0) for name in tokens] for point in points]
    return np.array(rows), np.array([point["loss"] for point in points])


def _each(
    predicts: Mapping[str, Predict], tokens: Mapping[str, int], weights: Mixture
) -> dict[str, float]:
    """The loss of one mixture by every regressor."""
    row_MS = np.array([[weights.get(name, 0.0) for name in tokens]])
    return {name: float(predict(row_MS)[0]) for name, predict in predicts.items()}
