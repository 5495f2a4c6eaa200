"""What every law must do: found by name, right gradient, free of units, starts inside bounds."""

from __future__ import annotations

import numpy as np
import pytest

from windtunnel.scaling.laws import available, by_name

POINTS = {"N": np.geomspace(3.0, 400.0, 7), "D": np.geomspace(900.0, 20.0, 7)}
THETA_SP = {
    "power_law": np.array([[4.0, -0.1], [9.0, -0.5]]),
    "power_law_constant": np.array([[2.5, -0.42, 2.9], [1.0, -0.1, 0.0]]),
    "chinchilla": np.array([[1.2, 3.0, 1.7, 0.34, 0.28], [0.5, 1.0, 0.0, 0.1, 1.2]]),
}


def test_every_law_is_found_and_has_coefficients_here() -> None:
    assert set(THETA_SP) <= set(available())
    assert all(by_name(name).name == name for name in available())


def test_an_unknown_law_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"law: expected one of chinchilla, .*; got 'power'"):
        by_name("power")


@pytest.mark.parametrize("name", sorted(THETA_SP))
class TestLaw:
    def test_gradient_is_that_of_the_prediction(self, name: str) -> None:
        law, theta_SP = by_name(name), THETA_SP[name]
        gradient_SMP = law.gradient(theta_SP, POINTS)
        assert gradient_SMP.shape == (2, 7, len(law.coefficients))
        for p in range(theta_SP.shape[1]):
            step_SP = np.zeros_like(theta_SP)
            step_SP[:, p] = 1e-6
            up_SM = law.predict(theta_SP + step_SP, POINTS)
            down_SM = law.predict(theta_SP - step_SP, POINTS)
            expected_SM = (up_SM - down_SM) / 2e-6
            np.testing.assert_allclose(gradient_SMP[:, :, p], expected_SM, rtol=1e-6, atol=1e-8)

    def test_rescaled_coefficients_give_the_same_losses(self, name: str) -> None:
        law, theta_SP = by_name(name), THETA_SP[name]
        units = {"N": 1e6, "D": 2.0**30}
        divided = {column: values / units[column] for column, values in POINTS.items()}
        back_SM = law.predict(law.rescale(theta_SP, units), POINTS)
        np.testing.assert_allclose(back_SM, law.predict(theta_SP, divided), rtol=1e-12)

    def test_starts_lie_inside_the_bounds(self, name: str) -> None:
        law = by_name(name)
        start_SP = law.starts(POINTS, np.linspace(4.0, 3.0, 7))
        assert start_SP.shape[1] == len(law.coefficients)
        assert len(start_SP) > 1
        for p, coefficient in enumerate(law.coefficients):
            assert (start_SP[:, p] >= coefficient.low).all()
            assert (start_SP[:, p] <= coefficient.high).all()

    def test_it_says_what_it_is(self, name: str) -> None:
        law = by_name(name)
        names = [coefficient.name for coefficient in law.coefficients]
        assert all(word in law.formula for word in [*names, *law.columns])
        assert law.constant is None or law.constant in names
        assert all(coefficient.meaning for coefficient in law.coefficients)
