from __future__ import annotations

import json

import numpy as np
import pytest

from tests.scaling.mixture.planted import PULL_S, planted
from windtunnel.scaling.mixture.answer import judged, sought
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.log_linear import LogLinear

NAMES = ("a", "b", "c", "d", "e")
CANDIDATES_MS = Draw(low=1.0, high=1.0, steps=1, temper=1.0).mixtures(
    np.full(5, 0.2), np.ones(5), 5000, seed=0
)


def test_a_fit_is_judged_on_other_mixtures() -> None:
    test = planted(50, seed=2, sd=0.01)
    predict = LogLinear().fit(*planted(64, seed=1, sd=0.01))
    found = judged(predict, *test, level=0.9, n_resamples=200, seed=0)
    assert found["spearman_low"] < found["spearman"] < found["spearman_high"]
    assert found["spearman_low"] > 0.98
    assert found["mse"] == pytest.approx(0.01**2, rel=0.6)
    assert found["variance"] == pytest.approx(test.loss_M.var())
    assert json.loads(json.dumps(found)) == found


def test_the_domain_that_helps_most_is_the_best_mixture() -> None:
    rows = planted(64, seed=1, sd=0.01)
    predict = LogLinear().fit(*rows)
    found = sought(predict, NAMES, CANDIDATES_MS, 20, np.ones(5), rows.weights_MS)
    assert max(found["best_mixture"], key=found["best_mixture"].get) == NAMES[PULL_S.argmin()]
    assert sum(found["best_mixture"].values()) == pytest.approx(1)
    assert found["warnings"] == ["its best mixture has d at the bound: more might be better still"]


def test_doubts_are_said() -> None:
    near_MS = 0.19 + 0.05 * planted(8, seed=3).weights_MS
    flat = sought(lambda w: np.ones(len(w)), NAMES, CANDIDATES_MS, 5000, np.ones(5), near_MS)
    assert len(flat["warnings"]) == 1
    assert "same loss for every mixture" in flat["warnings"][0]
    far = sought(lambda w: w[:, 1], NAMES, np.eye(5), 1, np.full(5, 2.0), near_MS)
    assert len(far["warnings"]) == 1
    assert "far from all that were trained: 80 %" in far["warnings"][0]
