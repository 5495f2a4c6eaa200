"""Standard errors against the closed form of a straight line."""

from __future__ import annotations

import numpy as np

from windtunnel.scaling.identify import on_bound, standard_errors
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant

X = np.array([1.0, 2.0, 4.0, 7.0])
NONE = np.zeros(2, bool)


def test_line() -> None:
    design = np.stack([np.ones(4), X], axis=1)
    slope = np.sqrt(0.04 / np.sum((X - X.mean()) ** 2))
    level = slope * np.sqrt(np.mean(X**2))
    np.testing.assert_allclose(standard_errors(design, 0.04, NONE), [level, slope], rtol=1e-9)


def test_a_coefficient_on_its_bound_is_known_to_the_others() -> None:
    design = np.stack([np.ones(4), X], axis=1)
    errors = standard_errors(design, 0.04, np.array([False, True]))
    np.testing.assert_allclose(errors, [0.1, np.nan])
    assert np.isnan(standard_errors(design, 0.04, ~NONE)).all()


def test_what_the_data_cannot_tell_apart_has_infinite_error() -> None:
    twin = np.stack([X, 3 * X, np.ones(4)], axis=1)
    errors = standard_errors(twin, 0.04, np.zeros(3, bool))
    assert np.isinf(errors).tolist() == [True, True, False]
    silent = np.stack([X, np.zeros(4)], axis=1)
    assert np.isinf(standard_errors(silent, 0.04, NONE)).tolist() == [False, True]


def test_bounds() -> None:
    assert on_bound(PowerLawConstant(), np.array([1.0, -3.0, 0.0])).tolist() == [False, True, True]
