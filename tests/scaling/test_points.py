"""What runs are refused, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from windtunnel.scaling.laws.data_constrained import DataConstrained
from windtunnel.scaling.laws.lr_annealing import LrAnnealing
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
from windtunnel.scaling.points import check_points, units_of

N = np.array([1.0, 2.0, 4.0, 8.0])
LOSS = np.array([4.0, 3.5, 3.2, 3.0])


def test_seeds_of_one_size_share_a_design() -> None:
    points = check_points(PowerLawConstant(), {"N": [4, 1, 2, 4, 1]}, [3.2, 4, 3.5, 3.3, 4.1], None)
    assert points.design_M.tolist() == [2, 0, 1, 2, 0]
    assert points.weights_M.tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": {"D": N, "M": N}}, "column N: the law needs it; there are D, M"),
        ({"x": {}}, "column N: the law needs it; there are none"),
        ({"x": {"N": [1.0, 2.0, 0.0, -8.0]}}, r"column N: .*rows \[2, 3\] hold \[0.0, -8.0\]"),
        ({"loss": [4.0, np.nan, 3.2, np.inf]}, r"loss: .*rows \[1, 3\] hold \[nan, inf\]"),
        ({"weights": [1.0, 1.0, 0.0, 1.0]}, r"weights: .*rows \[2\] hold"),
        ({"weights": [1.0]}, "weights: expected 4 values, one per loss; got 1"),
        ({"loss": LOSS[:3]}, "column N: expected 3 values, one per loss; got 4"),
        ({"x": {"N": []}, "loss": []}, "expected at least 3 different N.*got 0"),
        ({"x": {"N": [1.0, 1.0, 2.0, 2.0]}}, "power_law_constant: expected at least 3 .*got 2"),
    ],
)
def test_unusable_runs(change: dict[str, Any], message: str) -> None:
    given = {"x": {"N": N}, "loss": LOSS, "weights": None} | change
    with pytest.raises(ValueError, match=message):
        check_points(PowerLawConstant(), **given)


def test_a_column_that_does_not_vary() -> None:
    from windtunnel.scaling.laws.chinchilla import Chinchilla

    x = {"N": np.arange(1.0, 8.0), "D": np.full(7, 3.0)}
    with pytest.raises(ValueError, match="column D: expected values that differ; all runs have 3"):
        check_points(Chinchilla(), x, np.linspace(4, 3, 7), None)


def test_columns_without_a_unit_may_hold_any_number() -> None:
    x = {"S1": [1.0, 2.0, 3.0, 4.0], "S2": [0.0, -0.1, 0.2, 0.3]}
    points = check_points(LrAnnealing(), x, LOSS, None)
    assert units_of(LrAnnealing(), points.x) == {"S1": pytest.approx(24**0.25), "S2": 1.0}
    with pytest.raises(ValueError, match=r"column S2: expected finite numbers; .* rows \[1\]"):
        check_points(LrAnnealing(), x | {"S2": [0.0, np.nan, 0.2, 0.3]}, LOSS, None)


def test_columns_of_one_group_share_a_unit() -> None:
    x = {"N": np.array([1.0, 4.0]), "D": np.array([1.0, 1.0]), "U": np.array([16.0, 1.0])}
    units = units_of(DataConstrained(), x)
    assert units == {name: pytest.approx(2.0) for name in ("N", "D", "U")}
