from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.mixture.planted import law, planted
from windtunnel.scaling.mixture.ridge import Ridge, features


@pytest.mark.parametrize("penalty", [1e-4, 0.01, 3.0])
def test_the_penalty_is_paid_as_if_by_more_rows(penalty: float) -> None:
    """Ridge is least squares with rows sqrt(penalty) e_p and losses 0, the intercept left out."""
    rows, new_MS = planted(50, seed=1, sd=0.1), planted(9, seed=2).weights_MS
    features_MP = features(rows.weights_MS)
    n = features_MP.shape[1]
    more = np.hstack([np.sqrt(penalty) * np.eye(n), np.zeros((n, 1))])
    table = np.vstack([np.column_stack([features_MP, np.ones(50)]), more])
    reference, *_ = np.linalg.lstsq(table, np.r_[rows.loss_M, np.zeros(n)])
    expected = np.column_stack([features(new_MS), np.ones(9)]) @ reference
    assert Ridge(penalty=penalty).fit(*rows)(new_MS) == pytest.approx(expected, rel=1e-9)


def test_features_are_the_weights_their_roots_and_logarithms() -> None:
    expected = [0.0, 0.25, 0.0, 0.5, np.log(0.01), np.log(0.26)]
    assert features(np.array([[0.0, 0.25]]))[0] == pytest.approx(expected)


def test_a_planted_law_is_ordered() -> None:
    new_MS = planted(200, seed=5).weights_MS
    found_M = Ridge(penalty=0.01).fit(*planted(64, seed=4, sd=0.01))(new_MS)
    assert np.corrcoef(found_M, law(new_MS))[0, 1] > 0.98


def test_a_penalty_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"penalty: expected above 0, got 0\.0"):
        Ridge(penalty=0.0)
