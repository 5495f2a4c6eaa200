"""What every law must do, on the case in its own test.

Found by name, right gradient, free of units, starts inside bounds and good enough; known
coefficients recovered from noisy runs; and prediction intervals that hold as often as they say.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.scaling.laws.cases import Case
from windtunnel.scaling.interval import predict
from windtunnel.scaling.laws import available, by_name, listing

NAMES = sorted(available())
STEP = 1e-5


def case_of(name: str) -> Case:
    return importlib.import_module(f"tests.scaling.laws.test_{name}").CASE


def test_every_law_is_found_and_has_a_case() -> None:
    assert len(NAMES) >= 15
    assert all(by_name(name).name == name for name in NAMES)
    assert all(case_of(name).law.name == name for name in NAMES)


def test_a_name_may_hold_the_column_and_the_breaks() -> None:
    assert by_name("power_law_constant:D").columns == ("D",)
    assert by_name("power_law:width").formula == "L = a width^b"
    assert len(by_name("bnsl:C:2").coefficients) == 9
    for name in ("power_law:D", "power_law_constant:C", "bnsl:D", "bnsl:D:2", "bnsl:N:3"):
        assert by_name(name).name == name


def test_the_list_holds_every_law_and_column_once() -> None:
    names = [law.name for law in listing()]
    assert len(names) == len(set(names)) == len(NAMES) + 6
    assert set(NAMES) <= set(names)
    assert {"power_law:C", "power_law_constant:D", "bnsl:C"} <= set(names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("power", r"expected one of accuracy, .*; got 'power'"),
        ("power_law:", r"expected power_law:COLUMN, .*; got 'power_law:'"),
        ("bnsl:D:two", r"expected bnsl:COLUMN:N_BREAKS, .*; got 'bnsl:D:two'"),
        ("chinchilla:D", r"expected chinchilla, .*; got 'chinchilla:D'"),
        ("multi_power:1", r"expected multi_power, .*; got 'multi_power:1'"),
    ],
)
def test_an_unknown_law_is_refused_with_the_known_ones(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"law: {said}"):
        by_name(name)


@pytest.mark.parametrize("name", NAMES)
class TestLaw:
    def test_gradient_is_that_of_the_prediction(self, name: str) -> None:
        case = case_of(name)
        theta_SP = case.random(np.random.default_rng(0), 20)
        gradient_SMP = case.law.gradient(theta_SP, case.x)
        assert gradient_SMP.shape == (20, case.n_runs, len(case.truth))
        loss_SM = case.law.predict(theta_SP, case.x)
        for p in range(len(case.truth)):
            change_SP = np.ones_like(theta_SP)
            change_SP[:, p] += STEP
            up_SM = case.law.predict(theta_SP * change_SP, case.x)
            change_SP[:, p] -= 2 * STEP
            down_SM = case.law.predict(theta_SP * change_SP, case.x)
            found_SM = gradient_SMP[..., p] * theta_SP[:, [p]] / loss_SM
            expected_SM = (up_SM - down_SM) / (2 * STEP) / loss_SM
            np.testing.assert_allclose(found_SM, expected_SM, rtol=1e-6, atol=1e-7)

    def test_rescaled_coefficients_give_the_same_losses(self, name: str) -> None:
        case = case_of(name)
        theta_SP = case.random(np.random.default_rng(1), 5)
        units = dict.fromkeys(case.law.columns, 1.0)
        for i, group in enumerate(case.law.unit_groups):
            units |= dict.fromkeys(group, 0.37 * 5.0**i)
        divided = {column: values / units[column] for column, values in case.x.items()}
        back_SM = case.law.predict(case.law.rescale(theta_SP, units), case.x)
        np.testing.assert_allclose(back_SM, case.law.predict(theta_SP, divided), rtol=1e-11)

    def test_starts_lie_inside_the_bounds(self, name: str) -> None:
        case = case_of(name)
        loss_M = case.exact()
        start_SP = case.law.starts(case.x, loss_M)
        assert len(start_SP) > 1
        assert np.isfinite(case.law.predict(start_SP, case.x)).all()
        for start_S, coefficient in zip(start_SP.T, case.law.coefficients, strict=True):
            assert (start_S >= coefficient.low).all()
            assert (start_S <= coefficient.high).all()

    def test_it_says_what_it_is(self, name: str) -> None:
        law = case_of(name).law
        names = [coefficient.name for coefficient in law.coefficients]
        assert all(word in law.formula for word in [*names, *law.columns])
        assert law.formula.startswith(f"{law.response} = ")
        assert law.constant is None or law.constant in names
        assert all(coefficient.meaning for coefficient in law.coefficients)
        grouped = [column for group in law.unit_groups for column in group]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) <= set(law.columns)

    def test_exact_losses_give_the_coefficients_back(self, name: str) -> None:
        case = case_of(name)
        fitted = case.fit(case.exact())
        np.testing.assert_allclose(list(fitted.parameters.values()), case.truth, rtol=1e-4)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_noisy_losses_give_the_coefficients_back_within_four_errors(
        self, name: str, seed: int
    ) -> None:
        case = case_of(name)
        assert case.n_runs >= 5 * len(case.truth)
        fitted = case.fit(case.noisy(np.random.default_rng(seed)))
        assert fitted.converged
        assert fitted.warnings == ()
        value_P, error_P = (np.array(list(d.values())) for d in (fitted.parameters, fitted.errors))
        assert (np.abs(value_P - case.truth) < 4 * error_P).all()

    @pytest.mark.slow
    def test_prediction_intervals_hold_as_often_as_they_say(self, name: str) -> None:
        """Of 200 intervals of 95 %, each from 200 refits, 90 to 99 % hold the target's loss."""
        case = case_of(name)
        rng, held, n_repetitions = np.random.default_rng(20260), 0, 200
        settings = {"level": 0.95, "method": "bootstrap_parametric", "n_resamples": 200}
        for repetition in range(n_repetitions):
            fitted = case.fit(case.noisy(rng), starts=np.array([case.truth]))
            actual = case.new_run(rng)
            found = predict(fitted, case.target, n_target_seeds=1, seed=repetition, **settings)
            held += found.low <= actual <= found.high
        assert 0.90 <= held / n_repetitions <= 0.99
