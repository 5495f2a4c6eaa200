"""Approach 2 against the optimum of the law that made the losses, and polyfit."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.isoflop import bottom, isoflop
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.optimum import best_size, joint

EPOCH = np.array([[482.01, 2085.43, 1.8172, 0.3478, 0.3658]])  # Besiroglu et al. 2024, 2404.10102
BUDGETS = 10.0 ** np.arange(18, 23)
EXPONENT = 0.3658 / (0.3478 + 0.3658)


def size(flops: float) -> float:
    return float(np.exp(best_size(joint(Chinchilla(), EPOCH), flops)[0]))


def runs(noise: float, seed: int = 0, factor: float = 4.0) -> tuple[np.ndarray, ...]:
    """Nine sizes per budget, from a quarter to four times the best."""
    C = np.repeat(BUDGETS, 9)
    N = np.concatenate([size(c) * factor ** np.linspace(-1, 1, 9) for c in BUDGETS])
    loss = Chinchilla().predict(EPOCH, {"N": N, "D": C / 6 / N})[0]
    return C, N, loss + noise * np.random.default_rng(seed).standard_normal(len(N))


def test_without_noise() -> None:
    """The exponent to five digits, and the size 0.42 % low: the losses are no parabola."""
    found = isoflop(*runs(0.0), 20, np.random.default_rng(0))
    np.testing.assert_allclose(found.exponent, EXPONENT, rtol=1e-5)
    optimum = found.optimum(1e24, 0.9)
    np.testing.assert_allclose(optimum.N / size(1e24), 1 - 0.0042, atol=1e-4)
    np.testing.assert_allclose(6 * optimum.N * optimum.D, 1e24, rtol=1e-12)
    assert found.left_out == ()
    assert found.flops_K.tolist() == BUDGETS.tolist()


def test_with_noise_the_interval_holds_the_truth() -> None:
    """Nominal 90 %; 40 tables with their own bias taken off: at least 31 hold it."""
    bias = isoflop(*runs(0.0), 2, np.random.default_rng(0)).optimum(1e23, 0.9).N
    held = 0
    for seed in range(40):
        found = isoflop(*runs(0.002, seed), 200, np.random.default_rng(seed)).optimum(1e23, 0.9)
        held += found.N_low < bias < found.N_high
    assert held >= 31


def test_the_bottom_is_that_of_polyfit() -> None:
    log_N = np.log(np.geomspace(1e7, 3e8, 7))
    loss = np.stack(
        [0.1 * (log_N - 18) ** 2 + 3, 0.3 * (log_N - 17.2) ** 2 + np.sin(9 * log_N) / 50]
    )
    expected = []
    for row in loss:
        r, q, _ = np.polyfit(log_N, row, 2)
        expected.append(-q / 2 / r)
    np.testing.assert_allclose(bottom(log_N, loss), expected, rtol=1e-9)


def test_the_bottom_stays_within_the_sizes() -> None:
    log_N = np.linspace(10.0, 12.0, 5)
    falling, arch, rising_arch = -log_N, -((log_N - 10.9) ** 2), -((log_N - 11.1) ** 2)
    found = bottom(log_N, np.stack([falling, arch, rising_arch, (log_N - 30) ** 2]))
    np.testing.assert_allclose(found, [12.0, 12.0, 10.0, 12.0])


def test_budgets_with_few_sizes_are_left_out() -> None:
    C, N, loss = runs(0.0)
    large = 0.6 * size(1e18)
    kept = ~((C == 1e18) & (large < N))
    found = isoflop(C[kept], N[kept], loss[kept], 5, np.random.default_rng(0))
    assert found.flops_K.tolist() == BUDGETS[1:].tolist()
    assert found.left_out == ("budget 1e+18 was left out: 3 sizes, of 4 that a parabola needs",)


def test_a_budget_whose_best_is_an_end_is_left_out() -> None:
    C, N, loss = runs(0.0)
    small = 0.9 * size(1e19)
    kept = (C > 1e19) | (small > N) & (C == 1e19)
    found = isoflop(C[kept], N[kept], loss[kept], 5, np.random.default_rng(0))
    assert found.left_out == (
        "budget 1e+19 was left out: its lowest loss lies at the end of its sizes",
    )


def test_one_budget_is_refused() -> None:
    C, N, loss = (values[:9] for values in runs(0.0))
    with pytest.raises(ValueError, match=r"isoflop: expected at least 2 budgets .* got 1"):
        isoflop(C, N, loss, 5, np.random.default_rng(0))
