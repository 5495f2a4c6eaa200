"""The batched solver against scipy's, problem by problem, and at its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
from windtunnel.scaling.objective import HuberLog, LeastSquares
from windtunnel.scaling.solve import Problem, bounds, cosine, damped_step, free, minimise

LAW = PowerLawConstant()
X = {"N": np.geomspace(0.1, 10.0, 9)}
TRUTH = np.array([[0.5, -0.4, 3.0]])
WEIGHTS = np.array([1.0, 1, 1, 2, 2, 2, 3, 3, 3])


def losses(n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    return LAW.predict(TRUTH, X) + 0.01 * rng.standard_normal((n, 9))


def test_a_batch_ends_where_scipy_ends_one_by_one() -> None:
    loss_SM = losses(6)
    problem = Problem(LAW, X, loss_SM, WEIGHTS, LeastSquares())
    low_SP, high_SP = bounds(LAW, 6)
    found = minimise(problem, np.tile([1.0, -1.0, 2.0], (6, 1)), low_SP, high_SP, 100, 1e-8)
    assert found.converged_S.all()
    for theta_P, loss_M in zip(found.theta_SP, loss_SM, strict=True):
        reference = optimize.curve_fit(
            lambda n, a, b, c: a * n**b + c,
            X["N"],
            loss_M,
            p0=TRUTH[0],
            sigma=WEIGHTS**-0.5,
            ftol=1e-14,
            xtol=1e-14,
        )[0]
        np.testing.assert_allclose(theta_P, reference, rtol=1e-6)


def test_huber_ends_where_a_general_minimiser_ends() -> None:
    loss_SM = losses(1)
    loss_SM[0, 2] += 0.4
    problem = Problem(LAW, X, loss_SM, WEIGHTS, HuberLog(1e-3))
    found = minimise(problem, TRUTH, *bounds(LAW, 1), 300, 1e-8)
    reference = optimize.minimize(
        lambda theta_P: 1e3 * problem.value(theta_P[None])[0],
        TRUTH[0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000, "maxfev": 5000},
    )
    np.testing.assert_allclose(1e3 * found.value_S[0], reference.fun, rtol=1e-7)
    np.testing.assert_allclose(found.theta_SP[0], TRUTH[0], atol=0.1)


def test_each_problem_is_alone_in_its_batch() -> None:
    loss_SM = losses(5)
    start_SP = np.tile([1.0, -1.0, 2.0], (5, 1))
    together = minimise(
        Problem(LAW, X, loss_SM, WEIGHTS, LeastSquares()), start_SP, *bounds(LAW, 5), 50, 1e-8
    )
    alone = minimise(
        Problem(LAW, X, loss_SM[[3]], WEIGHTS, LeastSquares()),
        start_SP[:1],
        *bounds(LAW, 1),
        50,
        1e-8,
    )
    np.testing.assert_allclose(together.theta_SP[3], alone.theta_SP[0], rtol=1e-9)


def test_equal_bounds_hold_a_coefficient() -> None:
    low_SP, high_SP = bounds(LAW, 1)
    low_SP[:, 2] = high_SP[:, 2] = 2.5
    problem = Problem(LAW, X, losses(1), WEIGHTS, LeastSquares())
    found = minimise(problem, TRUTH, low_SP, high_SP, 100, 1e-8)
    assert found.theta_SP[0, 2] == 2.5
    assert found.converged_S.all()
    reference = optimize.curve_fit(
        lambda n, a, b: a * n**b + 2.5,
        X["N"],
        problem.loss_SM[0],
        p0=(1.0, -0.2),
        sigma=WEIGHTS**-0.5,
    )[0]
    np.testing.assert_allclose(found.theta_SP[0, :2], reference, rtol=1e-5)


def test_a_rising_curve_ends_on_the_bound_of_its_exponent() -> None:
    problem = Problem(LAW, X, 3 + 0.1 * np.log(X["N"])[None], WEIGHTS, LeastSquares())
    found = minimise(problem, TRUTH, *bounds(LAW, 1), 200, 1e-8)
    mean = np.average(problem.loss_SM[0], weights=WEIGHTS)
    np.testing.assert_allclose(LAW.predict(found.theta_SP, X), mean, rtol=1e-5)


def test_a_start_that_overflows_is_left_where_it_is() -> None:
    problem = Problem(LAW, X, losses(1), WEIGHTS, LeastSquares())
    start_SP = np.array([[1e308, -3.0, 0.0], [1.0, -1.0, 2.0]])
    found = minimise(problem, start_SP, *bounds(LAW, 2), 100, 1e-8)
    assert found.converged_S.tolist() == [False, True]


def test_an_undamped_step_solves_a_quadratic() -> None:
    curvature_SPP = np.array([[[4.0, 1.0], [1.0, 3.0]]])
    gradient_SP = np.array([[1.0, 2.0]])
    both = np.ones((1, 2), bool)
    step_SP = damped_step(gradient_SP, curvature_SPP, both, np.zeros(1))
    np.testing.assert_allclose(curvature_SPP[0] @ step_SP[0], -gradient_SP[0], rtol=1e-9)
    held = np.array([[True, False]])
    step_SP = damped_step(gradient_SP, curvature_SPP, held, np.zeros(1))
    np.testing.assert_allclose(step_SP, [[-0.25, 0.0]], rtol=1e-9)


def test_free_and_cosine() -> None:
    theta_SP, low_SP, high_SP = np.array([[0.0, 1.0, 0.5]]), np.zeros((1, 3)), np.ones((1, 3))
    gradient_SP = np.array([[2.0, -1.0, 0.5]])
    free_SP = free(theta_SP, gradient_SP, low_SP, high_SP)
    assert free_SP.tolist() == [[False, False, True]]
    assert free(theta_SP, -gradient_SP, low_SP, high_SP).all()
    curvature_SPP = np.diag([1.0, 1.0, 4.0])[None]
    np.testing.assert_allclose(cosine(np.array([2.0]), gradient_SP, curvature_SPP, free_SP), 0.125)


def test_weights_may_differ_between_problems() -> None:
    """Each problem of the batch ends where it ends alone."""
    loss_SM, weights_SM = losses(1), np.random.default_rng(1).uniform(0.1, 3.0, (5, 9))
    start_P, low_SP, high_SP = np.array([1.0, -1.0, 2.0]), *bounds(LAW, 5)
    both = Problem(LAW, X, loss_SM, weights_SM, HuberLog(1e-3))
    found = minimise(both, np.tile(start_P, (5, 1)), low_SP, high_SP, 100, 1e-9)
    for row, weights_M in enumerate(weights_SM):
        alone = Problem(LAW, X, loss_SM, weights_M, HuberLog(1e-3))
        one = minimise(alone, start_P[None], low_SP[:1], high_SP[:1], 100, 1e-9)
        np.testing.assert_allclose(found.theta_SP[row], one.theta_SP[0], rtol=1e-9)
        np.testing.assert_allclose(found.value_S[row], one.value_S[0], rtol=1e-9)


def test_problems_are_solved_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(LAW, X, losses(7), WEIGHTS, LeastSquares())
    low_SP, high_SP = bounds(LAW, 7)
    start_SP = np.tile([1.0, -1.0, 2.0], (7, 1))
    whole = minimise(problem, start_SP, low_SP, high_SP, 100, 1e-8)
    monkeypatch.setattr("windtunnel.scaling.solve.BLOCK_NUMBERS", 2 * 9 * 3 + 1)  # two at a time
    parts = minimise(problem, start_SP, low_SP, high_SP, 100, 1e-8)
    np.testing.assert_allclose(parts.theta_SP, whole.theta_SP, rtol=1e-9)
    np.testing.assert_allclose(parts.value_S, whole.value_S, rtol=1e-9)
    assert parts.converged_S.all()
