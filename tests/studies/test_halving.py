from __future__ import annotations

import numpy as np
import pytest

from windtunnel.studies.halving import agreement, judge, replay, survivors


def test_a_third_goes_on_and_at_least_one() -> None:
    assert survivors(np.array([3.0, 1.0, 2.0, 0.5, 9.0, 4.0]), 3) == [3, 1]
    assert survivors(np.array([2.0, 1.0]), 3) == [1]
    assert survivors(np.array([1.0, 1.0, 1.0]), 3) == [0]


def test_27_trials_leave_9_3_and_1() -> None:
    """Where ranks never change, the best wins."""
    loss_J = np.random.default_rng(0).permutation(27).astype(float)
    score_JE = np.repeat(loss_J[:, None], 27, axis=1)
    stages = replay(score_JE, loss_J, [1, 3, 9, 27], 3)
    assert [len(stage) for stage in stages] == [9, 3, 1, 1]
    assert stages[-1] == [int(np.argmin(loss_J))]
    assert set(stages[0]) == set(np.argsort(loss_J)[:9])


def test_a_crossing_loses_the_best_to_the_rule_that_does_not_see_it() -> None:
    """Trial j leads early by j, and ends last by j: early loss keeps the worst."""
    loss_JSE = np.empty((9, 2, 4))
    for j in range(9):
        loss_JSE[j, :, :3] = 5 - 0.1 * j
        loss_JSE[j, :, 3] = 3 + 0.1 * j
    scores = {"early_loss": loss_JSE, "predicted": np.repeat(loss_JSE[:, :, 3:], 4, axis=2)}
    found = judge(scores, loss_JSE, [1, 2, 4], 3, n_resamples=50, n_drawn=9,
                  rng=np.random.default_rng(0))  # fmt: skip
    assert found["predicted"] == {"kept": [1.0, 1.0], "won": 1.0, "regret": 0.0}
    assert found["early_loss"]["kept"] == [0.0, 0.0]
    assert found["early_loss"]["regret"] == pytest.approx(0.8)


def test_resamples_draw_trials_and_seeds() -> None:
    """Two trials whose seeds cross in one of four draws: early loss keeps the best of two in the
    other three quarters."""
    loss_JSE = np.zeros((2, 2, 2))
    loss_JSE[0, :, 0], loss_JSE[0, :, 1] = (1.0, 3.0), 1.0
    loss_JSE[1, :, 0], loss_JSE[1, :, 1] = (2.0, 4.0), 2.0
    found = judge({"early_loss": loss_JSE}, loss_JSE, [1, 2], 2, n_resamples=4000, n_drawn=2,
                  rng=np.random.default_rng(1))  # fmt: skip
    assert found["early_loss"]["kept"][0] == pytest.approx(0.75, abs=0.03)
    assert found["early_loss"]["regret"] == pytest.approx(0.25, abs=0.03)
    few = judge({"early_loss": loss_JSE}, loss_JSE, [1, 2], 2, n_resamples=20, n_drawn=1,
                rng=np.random.default_rng(1))  # fmt: skip
    assert few["early_loss"]["won"] == 1.0


def test_agreement_is_of_ranks() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert agreement(a, np.exp(a)) == pytest.approx(1)
    assert agreement(a, -a) == pytest.approx(-1)
    assert agreement(a, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert agreement(a, np.zeros(4)) is None
