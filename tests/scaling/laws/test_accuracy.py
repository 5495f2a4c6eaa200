"""The sigmoid of the loss, and tasks that no loss moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.scaling.laws.cases import LEAST, Case, at
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.accuracy import Accuracy, slope

TRUTH = (0.25, 0.9, 4.0, 2.8)  # floor, ceiling, k, L_mid

CASE = Case(Accuracy(), TRUTH, {"L": np.linspace(1.8, 4.0, 30)}, {"L": 1.6})
LOSS = np.linspace(4.0, 2.6, 12)


@pytest.mark.parametrize(("loss", "accuracy"), [(2.8, 0.575), (100.0, 0.25), (2.8 - 50, 0.9)])
def test_middle_and_ends(loss: float, accuracy: float) -> None:
    found = Accuracy().predict(np.array([TRUTH]), at(L=loss))
    np.testing.assert_allclose(found, [[accuracy]], rtol=1e-12)


def test_a_quarter_of_the_rise() -> None:
    found = Accuracy().predict(np.array([TRUTH]), at(L=2.8 + np.log(3) / 4))
    np.testing.assert_allclose(found, [[0.25 + 0.65 / 4]], rtol=1e-12)


def test_the_slope_is_that_of_the_straight_line() -> None:
    accuracy = 0.8 - 0.1 * LOSS + 0.02 * np.random.default_rng(0).standard_normal(12)
    found = slope(LOSS, accuracy, 0.95)
    line = stats.linregress(LOSS, accuracy)
    half = stats.t.ppf(0.975, 10) * line.stderr
    np.testing.assert_allclose(found[:3], [line.slope, line.slope - half, line.slope + half])
    assert not found.flat


def test_a_task_at_chance_is_flat() -> None:
    """Of 400 tasks that the loss does not move, about 5 % are not called flat."""
    rng = np.random.default_rng(1)
    flat = [slope(LOSS, 0.2 + 0.01 * rng.standard_normal(12), 0.95).flat for _ in range(400)]
    assert 365 <= sum(flat) <= 394  # the binomial's 99.9 % around 380


def test_a_task_without_any_noise_is_flat() -> None:
    assert slope(LOSS, np.full(12, 0.25), 0.95).flat


@pytest.mark.parametrize("seed", range(4))
def test_the_sigmoid_of_a_flat_task_says_that_it_is_not_the_law(seed: int) -> None:
    accuracy = 0.2 + 0.01 * np.random.default_rng(seed).standard_normal(12)
    words = fit(Accuracy(), {"L": LOSS}, accuracy, **LEAST).warnings
    assert any(word.startswith("k sits on its bound 100: the data pull") for word in words)


def test_a_ceiling_below_one_is_found() -> None:
    fitted = CASE.fit(CASE.noisy(np.random.default_rng(4)))
    np.testing.assert_allclose(fitted.parameters["ceiling"], 0.9, atol=0.01)
    assert not slope(CASE.x["L"], CASE.exact(), 0.95).flat


@pytest.mark.parametrize("loss", [[3.0, 2.0], [3.0, 3.0, 3.0]])
def test_runs_without_a_line_are_refused(loss: list[float]) -> None:
    with pytest.raises(ValueError, match="slope: expected 3 or more runs whose losses differ"):
        slope(np.array(loss), np.full(len(loss), 0.2), 0.95)
