"""Approach 3 against published optima, Newton's condition, and the frontier's straight line."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.bootstrap import Resamples, resample
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.optimum import Frontier, Joint, best_size, joint, line, parametric

# Coefficients A, B, E, alpha, beta and optima: Hoffmann et al. 2022, arXiv 2203.15556, rounded;
# Besiroglu et al. 2024, arXiv 2404.10102, refitted to their 240 points.
ROUNDED = np.array([406.4, 410.7, 1.69, 0.34, 0.28])
REFITTED = np.array([477.82, 2143.4, 1.81722, 0.34731, 0.36717])


def published(theta_P: np.ndarray) -> Joint:
    return joint(Chinchilla(), theta_P[None])


@pytest.mark.parametrize(
    ("theta_P", "flops", "N", "ratio"),
    [
        (REFITTED, 1e20, 8.55e8, 22.8),
        (REFITTED, 1e22, 9.115e9, 20.1),
        (REFITTED, 5.76e23, 7.32e10, 17.9),
        (ROUNDED, 5.76e23, 3.22e10, 92.6),
    ],
)
def test_published_optima(theta_P: np.ndarray, flops: float, N: float, ratio: float) -> None:
    found = float(np.exp(best_size(published(theta_P), flops)[0]))
    np.testing.assert_allclose(found, N, rtol=2e-3)
    np.testing.assert_allclose(flops / 6 / found / found, ratio, rtol=4e-3)


def test_the_tokens_of_a_budget() -> None:
    N = float(np.exp(best_size(published(REFITTED), 1e20)[0]))
    np.testing.assert_allclose(1e20 / 6 / N, 1.949e10, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "theta_P"),
    [
        ("chinchilla", REFITTED),
        ("minicpm", REFITTED),
        ("gadre", np.array([141.3, 189.5, 0.1212, 1.508])),
    ],
)
def test_no_other_size_is_better(name: str, theta_P: np.ndarray) -> None:
    law, flops = by_name(name), 3e21
    log_N = best_size(joint(law, theta_P[None]), flops)[0]
    N = np.exp(log_N + np.array([-1e-2, 0.0, 1e-2]))
    loss = law.predict(theta_P[None], {"N": N, "D": flops / 6 / N})[0]
    assert loss[1] < min(loss[0], loss[2])
    np.testing.assert_allclose(loss[0] - loss[1], loss[2] - loss[1], rtol=0.02)


def test_gadres_law_is_of_the_same_form() -> None:
    theta_P = np.array([[141.3, 189.5, 0.1212, 1.508]])
    A, B, alpha, beta = (float(values[0]) for values in joint(by_name("gadre"), theta_P))
    x = {"N": np.array([1e8, 3e9]), "D": np.array([5e9, 1e11])}
    same = Chinchilla().predict(np.array([[A, B, 1.508, alpha, beta]]), x)
    np.testing.assert_allclose(same, by_name("gadre").predict(theta_P, x), rtol=1e-12)


def fitted(noise: float) -> Fit:
    N, D = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 3e10, 6))
    )
    loss = Chinchilla().predict(REFITTED[None], {"N": N, "D": D})[0]
    loss *= np.exp(noise * np.random.default_rng(1).standard_normal(36))
    return fit(Chinchilla(), {"N": N, "D": D}, loss, loss_kind="huber_log", delta=1e-3)


def test_without_noise_the_optimum_is_exact() -> None:
    one = fitted(0.0)
    drawn = resample(one, "residual", 40, np.random.default_rng(0))
    found = parametric(one, drawn, 1e24, 0.9)
    expected = np.exp(best_size(published(REFITTED), 1e24)[0])
    np.testing.assert_allclose([found.N, found.N_low, found.N_high], expected, rtol=1e-6)
    np.testing.assert_allclose(6 * found.N * found.D, 1e24, rtol=1e-12)


def test_the_interval_holds_the_optimum_and_mirrors_in_the_tokens() -> None:
    one = fitted(0.003)
    drawn = resample(one, "residual", 400, np.random.default_rng(0))
    found = parametric(one, drawn, 1e21, 0.95)
    truth = float(np.exp(best_size(published(REFITTED), 1e21)[0]))
    assert found.N_low < truth < found.N_high
    assert found.N_low < found.N < found.N_high
    np.testing.assert_allclose(found.N_high * found.D_low, found.N * found.D, rtol=1e-12)
    np.testing.assert_allclose(found.N_low * found.D_high, found.N * found.D, rtol=1e-12)


def test_refits_without_an_optimum_open_the_interval() -> None:
    one = fitted(0.003)
    flat_RP = np.tile(one.scaled_P, (10, 1))
    flat_RP[:5, 1] = 0.0  # no loss from too few tokens: the larger, the better
    found = parametric(one, Resamples(flat_RP, np.ones(10), 1.0), 1e21, 0.9)
    assert np.isinf(found.N_high)
    assert found.D_low == 0.0
    np.testing.assert_allclose(found.N_low, found.N, rtol=1e-9)


def test_a_law_without_an_optimum_is_refused() -> None:
    one = fitted(0.003)
    flat = Fit(**{**vars(one), "parameters": {**one.parameters, "B": 0.0}})
    drawn = resample(one, "residual", 20, np.random.default_rng(0))
    with pytest.raises(
        ValueError, match=r"optimum: .* terms in N and D both matter; got A = .* B = 0"
    ):
        parametric(flat, drawn, 1e21, 0.9)


def test_a_law_of_another_form_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"optimum: expected a law of Chinchilla's form .*power_law"
    ):
        joint(by_name("power_law"), np.ones((1, 2)))


def test_the_line_is_that_of_polyfit() -> None:
    flops, log_N = np.array([1e18, 1e19, 3e20]), np.array([[15.0, 16.2, 18.1], [1.0, 0.0, 4.0]])
    expected = [np.polyfit(np.log(flops), row, 1)[::-1] for row in log_N]
    np.testing.assert_allclose(line(flops, log_N), expected, rtol=1e-10)


def test_a_frontier_without_resamples_knows_no_end() -> None:
    frontier = Frontier(-1.0, 0.5, np.ones(2), np.ones(2), np.empty((0, 2)), ())
    found = frontier.optimum(1e20, 0.9)
    np.testing.assert_allclose(found.N, np.exp(-1) * 1e10)
    assert (found.N_low, found.N_high, found.D_low, found.D_high) == (0.0, np.inf, 0.0, np.inf)
