from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.scaling.mixture.planted import law, planted
from windtunnel.scaling.mixture.boosted_trees import BoostedTrees


def made_trees(**changes: Any) -> BoostedTrees:
    values: dict[str, Any] = {
        "n_trees": 200,
        "rate": 0.05,
        "n_leaves": 31,
        "rows_per_leaf": 5,
        "patience": None,
        "validation": 0.2,
        "seed": 0,
    }
    return BoostedTrees(**(values | changes))


def test_a_planted_law_is_ordered_the_same_way_each_time() -> None:
    rows, new_MS = planted(200, seed=1, sd=0.02), planted(100, seed=2).weights_MS
    first, second = (made_trees().fit(*rows)(new_MS) for _ in range(2))
    assert (first == second).all()
    assert np.corrcoef(first, law(new_MS))[0, 1] > 0.95


def test_one_tree_of_two_leaves_is_the_best_cut() -> None:
    """Its two answers lie `rate` of the way from the mean to the means of the two sides."""
    weights_MS = np.linspace(0, 1, 40)[:, None] * [1, -1] + [0, 1]
    loss_M = np.where(weights_MS[:, 0] < 0.3, 2.0, 4.0)
    trees = made_trees(n_trees=1, rate=0.5, n_leaves=2)
    found_M = trees.fit(weights_MS, loss_M)(weights_MS)
    assert found_M == pytest.approx((loss_M.mean() + loss_M) / 2)


def test_too_few_rows_for_a_leaf_give_the_mean() -> None:
    rows = planted(30, seed=3)
    found_M = made_trees(rows_per_leaf=20).fit(*rows)(rows.weights_MS)
    assert found_M == pytest.approx(np.full(30, rows.loss_M.mean()))


def test_a_patience_stops_where_there_is_nothing_to_learn() -> None:
    rng, rows = np.random.default_rng(4), planted(100, seed=4)
    noise_M, patient = rng.normal(3, 1, 100), made_trees(patience=3)
    n_trees = patient.stopped(rows.weights_MS, noise_M, 3)
    assert n_trees < 30 < patient.stopped(*rows, 3)
    stopped_M = patient.fit(rows.weights_MS, noise_M)(rows.weights_MS)
    same = made_trees(n_trees=n_trees)
    assert (stopped_M == same.fit(rows.weights_MS, noise_M)(rows.weights_MS)).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_trees": 0}, r"n_trees: expected at least 1, got 0"),
        ({"n_leaves": 1}, r"n_leaves: expected at least 2, got 1"),
        ({"rows_per_leaf": 0}, r"rows_per_leaf: expected at least 1, got 0"),
        ({"rate": 0.0}, r"rate: expected above 0 and at most 1, got 0\.0"),
        ({"patience": 0}, r"patience, validation: .* got 0 and 0\.2"),
        ({"patience": 3, "validation": 1.0}, r"patience, validation: .* got 3 and 1\.0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_trees(**changes)
