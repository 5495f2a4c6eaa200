"""Gradient-boosted regression trees on the mixture weights, by LightGBM.

Either a fixed number of trees, or as many as a part of the rows, which the trees do not see, asks
for; all rows then get that many. The rows that a fit is judged by never choose the number.

Source: Liu et al. 2024 (RegMix), arXiv 2407.01492, section 3: up to 1000 trees at rate 0.01; trees:
Ke et al. 2017 (LightGBM). Deviation: in RegMix's code the test rows stop the boosting.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.surrogate import Predict


class BoostedTrees:
    """Trees that each fit what those before them left over."""

    def __init__(
        self,
        *,
        n_trees: int,
        rate: float,
        n_leaves: int,
        rows_per_leaf: int,
        patience: int | None,
        validation: float,
        seed: int,
    ) -> None:
        """Refuses settings that cannot be used.

        Args:
            n_trees: how many trees, or with a patience how many at most.
            rate: share of each tree's answer that is added.
            n_leaves: leaves of a tree at most.
            rows_per_leaf: rows of a leaf at least; with less than twice as many rows in all every
                mixture gets the mean.
            patience: trees without a lower loss on the validation rows after which to stop; None
                for a fixed number.
            validation: share of the rows that stop the boosting, where there is a patience.
            seed: of the validation rows.
        """
        for name, value, least in (
            ("n_trees", n_trees, 1),
            ("n_leaves", n_leaves, 2),
            ("rows_per_leaf", rows_per_leaf, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}; raise it")
        if not 0 < rate <= 1:
            raise ValueError(f"rate: expected above 0 and at most 1, got {rate}; 0.01 is usual")
        if patience is not None and not (patience >= 1 and 0 < validation < 1):
            raise ValueError(
                "patience, validation: expected at least 1 tree and a share between 0 and 1, got "
                f"{patience} and {validation}; 3 and 0.2 are usual"
            )
        self.n_trees, self.patience = n_trees, patience
        self.validation, self.seed = validation, seed
        self.settings: dict[str, Any] = {
            "objective": "regression",
            "learning_rate": rate,
            "num_leaves": n_leaves,
            "min_data_in_leaf": rows_per_leaf,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """Grows the trees on all rows."""
        import lightgbm  # not at the top: it takes a second, and other regressors do without it

        n_trees = self.n_trees
        if self.patience is not None:
            n_trees = self.stopped(weights_MS, loss_M, self.patience)
        rows = lightgbm.Dataset(weights_MS, loss_M)
        model = lightgbm.train(self.settings, rows, num_boost_round=n_trees)
        return lambda new_MS: np.asarray(model.predict(new_MS))

    def stopped(self, weights_MS: ndarray, loss_M: ndarray, patience: int) -> int:
        """The number of trees that is best on rows which are kept from them."""
        import lightgbm

        order_M = np.random.default_rng(self.seed).permutation(len(loss_M))
        n_kept = max(1, round(self.validation * len(loss_M)))
        kept, seen = order_M[:n_kept], order_M[n_kept:]
        rows = lightgbm.Dataset(weights_MS[seen], loss_M[seen])
        model = lightgbm.train(
            self.settings,
            rows,
            num_boost_round=self.n_trees,
            valid_sets=[rows.create_valid(weights_MS[kept], loss_M[kept])],
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )
        return max(1, model.best_iteration)
