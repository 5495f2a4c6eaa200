"""Which interval is drawn, and which coefficients it leaves unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.scaling.test_request import PLAIN
from windtunnel.scaling.drawn import Drawn, draw, n_resamples
from windtunnel.scaling.fit import fit
from windtunnel.scaling.interval import Interval
from windtunnel.scaling.laws.power_law_constant import PowerLawConstant
from windtunnel.scaling.request import Data

LAW = PowerLawConstant()
REQUEST = replace(PLAIN, n_resamples=100)


def data(n_M: int, n_groups: int | None = None) -> Data:
    N = np.geomspace(1.0, 100.0, n_M)
    loss = 2 * N**-0.4 + 3 + 0.01 * np.random.default_rng(1).standard_normal(n_M)
    group_M = None if n_groups is None else np.arange(n_M) % n_groups
    return Data({"N": N}, loss, np.zeros(n_M, bool), group_M)


def drawn(own: Data, group: str | None = None) -> Drawn:
    request = replace(REQUEST, group=group)
    fitted = fit(LAW, own.x, own.loss_M, loss_kind="huber_log", delta=1e-3)
    return draw(fitted, own, request, lambda _: None)


def test_few_runs_draw_residuals_and_many_draw_runs() -> None:
    assert drawn(data(29)).how == "bootstrap over residuals, 100 resamples"
    assert drawn(data(30)).how == "bootstrap over runs, 100 resamples"


def test_few_groups_are_said() -> None:
    few, many = drawn(data(40, 4), "seed"), drawn(data(40, 8), "seed")
    assert few.how == "bootstrap by seed, 100 resamples"
    assert few.words(data(40, 4)) == [
        "there are only 4 groups of seed: what they share is known roughly, and the interval may "
        "be too narrow"
    ]
    assert many.words(data(40, 8)) == []
    with pytest.raises(ValueError, match="groups: expected at least 3"):
        drawn(data(40, 2), "seed")


def test_coefficients_that_are_not_known() -> None:
    one = drawn(data(30))
    assert one.not_known() == set()
    wide = replace(one, ends={**one.ends, "c": Interval(1.0, 4.0)})
    assert wide.wide_constant() == "c"
    assert wide.not_known() == {"c"}
    assert wide.words(data(30))[0].startswith("c is not identified: its interval is wider than")
    held = replace(one, fitted=replace(one.fitted, errors={"a": 0.1, "b": np.nan, "c": 0.1}))
    assert held.not_known() == {"b"}
    said = replace(wide, fitted=replace(one.fitted, unidentified=("a", "c")))
    assert said.not_known() == {"a", "c"}
    assert said.words(data(30)) == []


def test_without_degrees_of_freedom_there_is_no_interval() -> None:
    none = drawn(data(3))
    assert none.how is None
    assert all(np.isnan([*ends]).all() for ends in none.ends.values())
    band = none.band({"N": np.array([5.0, 9.0])})
    assert np.isfinite(band.loss_M).all()
    assert np.isnan(band.low_M).all()
    assert none.wide_constant() is None


def test_the_default_number_of_refits() -> None:
    assert n_resamples(REQUEST) == 100
    assert n_resamples(replace(REQUEST, n_resamples=None)) == 500
