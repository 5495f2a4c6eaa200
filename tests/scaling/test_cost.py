"""What a target costs, and the next run against refits with that run added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from windtunnel.scaling.cost import cost, next_runs, train_flops
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

LAW = PowerLawConstant()
N = np.geomspace(1e6, 3e7, 8)
TARGET = {"N": 1e9}


def fitted(repeats: int = 1) -> Fit:
    n = np.repeat(N, repeats)
    noise = 0.003 * np.random.default_rng(2).standard_normal(len(n))
    loss = 60 * n**-0.3 + 2.5 + noise
    return fit(LAW, {"N": n}, loss, loss_kind="least_squares", delta=None)


def variance(one: Fit, extra_n: list[float]) -> float:
    """Variance of the curve at the target with runs added, by inverting the whole Jacobian."""
    n = np.append(one.points.x["N"], extra_n)
    theta_P = np.array([list(one.parameters.values())])
    jacobian_MP = LAW.gradient(theta_P, {"N": n})[0]
    scale_P = np.linalg.norm(jacobian_MP, axis=0)
    g_P = LAW.gradient(theta_P, {"N": np.array([1e9])})[0, 0] / scale_P
    whole_MP = jacobian_MP / scale_P
    return float(one.noise.mean_square * g_P @ np.linalg.solve(whole_MP.T @ whole_MP, g_P))


def test_flops() -> None:
    assert train_flops({"C": 3.0, "N": 1.0}) == 3.0
    assert train_flops({"N": np.array([2.0, 3.0]), "D": np.array([5.0, 7.0])}).tolist() == [60, 126]
    assert train_flops({"N": 1.0}) is None


def test_the_share_of_a_ladder() -> None:
    ladder = {"N": np.array([1.0, 2.0]), "D": np.array([10.0, 10.0])}
    found = cost(ladder, {"N": 20.0, "D": 10.0}, 3, 180.0)
    assert found is not None
    assert (found.target_flops, found.ladder_flops, found.share) == (3600.0, 360.0, 0.1)
    assert cost({"N": np.ones(2)}, {"N": 2.0}, 1, 0.0) is None
    assert cost(ladder, {"N": 2.0}, 1, 0.0) is None


def test_the_next_run_against_inverting_anew() -> None:
    one = fitted()
    sizes = np.array([1e6, 5e7, 2e8])
    found = next_runs(one, TARGET, {"N": sizes}, np.ones(3), 1.0, 1)
    own = one.noise.target_variance(1)
    before = np.sqrt(variance(one, []) + own)
    for run in found:
        assert (run.n_runs, run.flops) == (1, 1.0)
        after = np.sqrt(variance(one, [run.x["N"]]) + own)
        np.testing.assert_allclose(run.shrinks, 1 - after / before, rtol=1e-5)
    assert [run.x["N"] for run in found] == [2e8, 5e7, 1e6]
    assert found[0].shrinks > 0.1


def test_equal_flops_buy_many_small_runs() -> None:
    one = fitted(repeats=3)
    assert one.noise.source == "pooled"
    sizes, budget = np.array([1e6, 4e6, 1e8]), 4e7
    found = {run.x["N"]: run for run in next_runs(one, TARGET, {"N": sizes}, sizes, budget, 1)}
    assert set(found) == {1e6, 4e6}
    assert (found[1e6].n_runs, found[4e6].n_runs) == (40, 10)
    assert found[4e6].flops == 4e7
    own = one.noise.target_variance(1)
    for run in found.values():
        after = np.sqrt(variance(one, [run.x["N"]] * run.n_runs) + own)
        expected = 1 - after / np.sqrt(variance(one, []) + own)
        np.testing.assert_allclose(run.shrinks, expected, rtol=1e-5)


def test_a_constant_on_its_bound_stays_there() -> None:
    loss = 20 * N**-0.1 - (N / 3e7) ** 0.5  # falls ever faster: no constant
    one = fit(LAW, {"N": N}, loss, loss_kind="least_squares", delta=None)
    assert one.parameters["c"] == 0.0
    plain = fit(PowerLaw(), {"N": N}, one.points.loss_M, loss_kind="least_squares", delta=None)
    settings = (TARGET, {"N": np.array([2e8])}, np.ones(1), 1.0, 1)
    both = replace(one, noise=plain.noise)
    (first,), (second,) = next_runs(both, *settings), next_runs(plain, *settings)
    np.testing.assert_allclose(first.shrinks, second.shrinks, rtol=1e-6)


def test_without_noise_nothing_shrinks() -> None:
    exact = fit(LAW, {"N": N}, 60 * N**-0.3 + 2.5, loss_kind="least_squares", delta=None)
    quiet = replace(exact, noise=replace(exact.noise, mean_square=0.0, within=0.0))
    assert next_runs(quiet, TARGET, {"N": np.array([2e8])}, np.ones(1), 1.0, 1)[0].shrinks == 0.0


def test_no_degrees_of_freedom_is_refused() -> None:
    one = fit(LAW, {"N": N[:3]}, 60 * N[:3] ** -0.3 + 2.5, loss_kind="least_squares", delta=None)
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        next_runs(one, TARGET, {"N": np.ones(1)}, np.ones(1), 1.0, 1)
