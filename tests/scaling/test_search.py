"""The multi-start search: counts, pruning, polishing."""

from __future__ import annotations

import numpy as np

from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
from windtunnel.scaling.objective import HuberLog, LeastSquares
from windtunnel.scaling.search import KEPT, has_converged, polish, search
from windtunnel.scaling.solve import Problem

LAW = PowerLawConstant()
X = {"N": np.geomspace(0.1, 10.0, 8)}
TRUTH = np.array([0.5, -0.4, 3.0])


def problem(objective: LeastSquares | HuberLog) -> Problem:
    noise_M = 0.005 * np.random.default_rng(2).standard_normal(8)
    return Problem(LAW, X, LAW.predict(TRUTH[None], X) + noise_M, np.ones(8), objective)


def test_starts_are_counted() -> None:
    start_SP = LAW.starts(X, problem(LeastSquares()).loss_SM[0])
    theta_P, counts = search(problem(LeastSquares()), start_SP)
    assert counts.tried == len(start_SP) == 48
    assert counts.tried - counts.pruned <= KEPT
    assert 0 < counts.converged <= counts.tried - counts.pruned
    np.testing.assert_allclose(theta_P, TRUTH, rtol=0.1)


def test_bad_starts_among_good_ones_are_pruned() -> None:
    overflowing, flat = [1e308, -3.0, 0.0], [0.0, 0.0, 1.0]
    start_SP = np.array([overflowing, TRUTH, flat, 1.1 * TRUTH, [np.nan, -1.0, 2.0]])
    theta_P, counts = search(problem(LeastSquares()), start_SP)
    assert (counts.tried, counts.pruned, counts.converged) == (5, 3, 2)
    np.testing.assert_allclose(theta_P, TRUTH, rtol=0.1)


def test_polishing_alone_finds_the_minimum() -> None:
    for objective in (LeastSquares(), HuberLog(1e-3)):
        each = problem(objective)
        best_P, _ = search(each, TRUTH[None])
        polished_P = polish(each, np.array([0.7, -0.3, 2.8]))
        np.testing.assert_allclose(
            each.value(polished_P[None]), each.value(best_P[None]), rtol=1e-8
        )


def test_polishing_converges() -> None:
    each = problem(LeastSquares())
    best_P, _ = search(each, TRUTH[None])
    np.testing.assert_allclose(polish(each, TRUTH), best_P, rtol=1e-6)


def test_convergence_is_checked_against_the_gradient() -> None:
    each = problem(LeastSquares())
    best_P, _ = search(each, TRUTH[None])
    assert has_converged(each, best_P)
    assert not has_converged(each, TRUTH)
