"""Fits: what they report, weights and seeds, and their warnings in words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from windtunnel.scaling.fit import check_degrees, fit
from windtunnel.scaling.laws.power_law import PowerLaw
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

LAW = PowerLawConstant()
N = np.geomspace(2e5, 4e6, 7)
TRUTH = np.array([[30.0, -0.3, 3.2]])
LEAST = {"loss_kind": "least_squares", "delta": None}


def losses(n: np.ndarray, sd: float, seed: int) -> np.ndarray:
    noise = sd * np.random.default_rng(seed).standard_normal(len(n))
    return LAW.predict(TRUTH, {"N": n})[0] + noise


def test_it_agrees_with_scipys_curve_fit() -> None:
    loss = losses(N, 0.005, 1)
    fitted = fit(LAW, {"N": N}, loss, **LEAST)
    million = N / 1e6
    theta_P, covariance_PP = optimize.curve_fit(
        lambda n, a, b, c: a * n**b + c, million, loss, p0=(1, -0.5, 3), xtol=1e-14, ftol=1e-14
    )
    for p, name in ((1, "b"), (2, "c")):
        np.testing.assert_allclose(fitted.parameters[name], theta_P[p], rtol=1e-6)
        np.testing.assert_allclose(fitted.errors[name], covariance_PP[p, p] ** 0.5, rtol=1e-5)
    residual = loss - fitted.predict({"N": N})
    np.testing.assert_allclose(fitted.value, residual @ residual / 2, rtol=1e-12)
    np.testing.assert_allclose(fitted.rms, np.sqrt(np.mean(residual**2)), rtol=1e-12)
    log_residual = np.log(fitted.predict({"N": N}) / loss)
    np.testing.assert_allclose(fitted.rms_log, np.sqrt(np.mean(log_residual**2)), rtol=1e-12)
    np.testing.assert_allclose(fitted.noise.mean_square, residual @ residual / 4, rtol=1e-12)


def test_averaged_seeds_with_weights_give_the_fit_of_the_single_runs() -> None:
    repeats = np.array([3, 3, 3, 2, 2, 1, 1])
    runs = np.repeat(N, repeats)
    loss = losses(runs, 0.005, 2)
    single = fit(LAW, {"N": runs}, loss, **LEAST)
    means = np.array([loss[runs == n].mean() for n in N])
    averaged = fit(LAW, {"N": N}, means, weights=repeats, **LEAST)
    for name in "bc":
        np.testing.assert_allclose(averaged.parameters[name], single.parameters[name], rtol=1e-6)
    assert single.noise.source == "pooled"
    assert averaged.noise.source == "residual"


def test_huber_shrugs_off_a_broken_run() -> None:
    loss = losses(N, 0.0, 0)
    loss[3] += 0.5
    robust = fit(LAW, {"N": N}, loss, loss_kind="huber_log", delta=1e-4)
    np.testing.assert_allclose(robust.predict({"N": 2e7}), losses(np.array([2e7]), 0, 0), rtol=5e-4)
    plain = fit(LAW, {"N": N}, loss, **LEAST)
    assert abs(plain.predict({"N": 2e7}) - losses(np.array([2e7]), 0, 0)) > 0.02


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a fit stay where it starts."""
    monkeypatch.setattr("windtunnel.scaling.search.FIRST_STEPS", 0)
    monkeypatch.setattr("windtunnel.scaling.search.STEPS", 0)
    monkeypatch.setattr("windtunnel.scaling.search.polish", lambda problem, theta_P: theta_P)


@pytest.mark.usefixtures("stopped")
def test_starts_of_ones_own_are_in_the_units_of_the_columns() -> None:
    fitted = fit(LAW, {"N": N}, losses(N, 0.005, 1), starts=1.05 * TRUTH, **LEAST)
    np.testing.assert_allclose(list(fitted.parameters.values()), 1.05 * TRUTH[0], rtol=1e-12)


@pytest.mark.usefixtures("stopped")
def test_a_fit_that_stops_early_says_so() -> None:
    fitted = fit(LAW, {"N": N}, losses(N, 0.005, 1), **LEAST)
    assert not fitted.converged
    assert "the fit did not converge" in " / ".join(fitted.warnings)


def test_a_long_clean_ladder_has_no_warnings() -> None:
    fitted = fit(LAW, {"N": N}, losses(N, 0.002, 3), **LEAST)
    assert fitted.converged
    assert fitted.warnings == ()


def test_a_short_ladder_says_that_the_constant_is_not_identified() -> None:
    short = np.geomspace(2e5, 4e5, 7)
    words = " / ".join(fit(LAW, {"N": short}, losses(short, 0.01, 3), **LEAST).warnings)
    assert "c is not identified: its 95 % interval is wider than the whole range" in words
    assert "b is not identified: its 95 % interval is wider than the value itself" in words


def test_the_constant_is_judged_by_what_the_ladder_shows_of_it() -> None:
    short = np.geomspace(2e5, 6e5, 7)
    fitted = fit(LAW, {"N": short}, losses(short, 0.002, 1), **LEAST)
    assert 10 * fitted.errors["c"] < fitted.parameters["c"]
    assert any(word.startswith("c is not identified") for word in fitted.warnings)


def test_a_pure_power_says_that_the_constant_collapsed() -> None:
    loss = PowerLaw().predict(np.array([[8.0, -0.05]]), {"N": N})[0]
    loss[0] += 0.001  # bends the curve the other way
    loss[3] -= 0.001
    loss += 0.02 * np.array([-1, 0, 1, 2, 1, 0, -1])
    words = " / ".join(fit(LAW, {"N": N}, loss, **LEAST).warnings)
    assert "the constant c collapsed to 0" in words


def test_losses_that_rise_say_that_a_coefficient_is_on_its_bound() -> None:
    words = " / ".join(fit(PowerLaw(), {"N": N}, losses(N, 0, 0)[::-1], **LEAST).warnings)
    assert "b sits on its bound 0: the data pull it further" in words


def test_as_many_runs_as_coefficients_fit_but_give_no_interval() -> None:
    fitted = fit(LAW, {"N": N[::3]}, losses(N[::3], 0.0, 0), **LEAST)
    assert fitted.rms < 1e-6
    assert "degrees of freedom left to estimate the noise: 0" in " / ".join(fitted.warnings)
    with pytest.raises(ValueError, match=r"interval: expected more runs than coefficients \(3\)"):
        check_degrees(fitted)


def test_a_law_that_misses_the_sizes_says_so() -> None:
    runs = np.repeat(N, 3)
    loss = losses(runs, 0.001, 4) + 0.02 * np.sin(np.arange(21) // 3 * 2.0)
    fitted = fit(LAW, {"N": runs}, loss, **LEAST)
    assert fitted.noise.source == "lack_of_fit"
    assert "the law misses the sizes by more than their seeds explain" in " / ".join(
        fitted.warnings
    )


def test_coefficients_that_are_not_identified_are_named() -> None:
    short = np.geomspace(2e5, 4e5, 7)
    assert fit(LAW, {"N": short}, losses(short, 0.01, 3), **LEAST).unidentified == ("a", "b", "c")
    assert fit(LAW, {"N": N}, losses(N, 0.002, 3), **LEAST).unidentified == ()


def test_runs_on_the_curve_say_that_there_is_no_noise() -> None:
    exact = fit(LAW, {"N": N}, losses(N, 0.0, 0), **LEAST)
    assert exact.exact
    assert "the runs lie on the curve to rounding error" in " / ".join(exact.warnings)
    noisy = fit(LAW, {"N": N}, losses(N, 1e-9, 0), **LEAST)
    assert not noisy.exact
    assert noisy.warnings == ()
