"""Refits: their spread against the linear approximation, their number and their seed."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.bootstrap import Draw, Resamples, resample, resample_groups
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.power_law import PowerLaw

N = np.geomspace(1.0, 100.0, 40)
DRAWS: tuple[Draw, ...] = ("residual", "parametric")


def fitted(sd: float) -> Fit:
    noise = sd * np.random.default_rng(4).standard_normal(40)
    return fit(PowerLaw(), {"N": N}, 4 * N**-0.1 + noise, loss_kind="least_squares", delta=None)


@pytest.mark.parametrize("draw", DRAWS)
def test_spread_of_the_refits_is_the_standard_error(draw: Draw) -> None:
    one = fitted(0.02)
    found = resample(one, draw, 4000, np.random.default_rng(0))
    theta_RP = one.law.rescale(found.scaled_RP, one.units)
    assert found.converged > 0.99
    np.testing.assert_allclose(theta_RP.mean(axis=0), list(one.parameters.values()), rtol=1e-2)
    widened = np.sqrt(38 / 36)  # standard deviation of Student's t with 38 degrees of freedom
    expected_P = widened * np.array(list(one.errors.values()))
    np.testing.assert_allclose(theta_RP.std(axis=0), expected_P, rtol=0.06)


@pytest.mark.parametrize("draw", DRAWS)
def test_the_same_seed_gives_the_same_refits(draw: Draw) -> None:
    first, again, other = (
        resample(fitted(0.02), draw, 20, np.random.default_rng(seed)).scaled_RP
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_degrees_of_freedom_is_refused() -> None:
    one = fit(PowerLaw(), {"N": N[:2]}, np.array([4.0, 3.9]), loss_kind="least_squares", delta=None)
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        resample(one, "residual", 20, np.random.default_rng(0))


def test_refits_are_told_of() -> None:
    told: list[int] = []
    resample(fitted(0.02), "residual", 120, np.random.default_rng(0), told.append)
    assert told == [50, 50, 20]


# ------------------------------------------------------------------------------------- by group


def grouped(within: float, between: float, n_groups: int, seed: int = 5) -> tuple[Fit, np.ndarray]:
    """Groups of 20 runs that share an offset: a power law near its middle is a line in log N."""
    rng = np.random.default_rng(seed)
    n = np.tile(np.geomspace(1.0, 100.0, 20), n_groups)
    group = np.repeat(np.arange(n_groups), 20)
    noise = between * rng.standard_normal(n_groups)[group] + within * rng.standard_normal(len(n))
    loss = 4 * n**-0.1 + noise
    return fit(PowerLaw(), {"N": n}, loss, loss_kind="least_squares", delta=None), group


def curve_sd(one: Fit, refits: Resamples) -> float:
    """Spread of the curve in the middle of the sizes."""
    return float(one.law.predict(refits.scaled_RP, one.scale({"N": 10.0})).std())


@pytest.mark.parametrize("n_groups", [4, 12])
def test_what_a_group_shares_widens_the_curve(n_groups: int) -> None:
    """The offset of a group is averaged over groups, not over runs: its own standard error."""
    one, group = grouped(0.002, 0.02, n_groups)
    rng = np.random.default_rng(0)
    by_group = curve_sd(one, resample_groups(one, group, 3000, rng))
    means = [
        (one.points.loss_M - one.predict(one.points.x))[group == g].mean() for g in range(n_groups)
    ]
    np.testing.assert_allclose(by_group, np.std(means, ddof=1) / np.sqrt(n_groups), rtol=0.1)
    assert curve_sd(one, resample_groups(one, None, 3000, rng)) < 0.5 * by_group


def test_runs_that_scatter_alike_give_the_spread_of_residuals() -> None:
    one, _ = grouped(0.02, 0.0, 6)
    rng = np.random.default_rng(0)
    plain = curve_sd(one, resample(one, "residual", 3000, rng))
    found = resample_groups(one, None, 3000, rng)
    np.testing.assert_allclose(curve_sd(one, found), plain, rtol=0.1)
    assert found.converged > 0.99
    assert (found.factor_R == 1).all()


def test_the_names_of_groups_do_not_matter() -> None:
    one, group = grouped(0.01, 0.01, 5)
    names = np.array(["a", "b", "c", "d", "e"])[group]
    first, second = (
        resample_groups(one, labels, 20, np.random.default_rng(0)).scaled_RP
        for labels in (group, names)
    )
    np.testing.assert_array_equal(first, second)


def test_two_groups_are_refused() -> None:
    one, group = grouped(0.01, 0.01, 2)
    with pytest.raises(ValueError, match=r"groups: expected at least 3 .* got \[0, 1\]"):
        resample_groups(one, group, 20, np.random.default_rng(0))


def test_groups_without_degrees_of_freedom_are_refused() -> None:
    one = fit(PowerLaw(), {"N": N[:2]}, np.array([4.0, 3.9]), loss_kind="least_squares", delta=None)
    with pytest.raises(ValueError, match="interval: expected more runs than coefficients"):
        resample_groups(one, None, 20, np.random.default_rng(0))
