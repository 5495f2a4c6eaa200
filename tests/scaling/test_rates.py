"""Schedules read off rows, and laws of whole curves fitted to a table of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scaling.test_request import PLAIN
from windtunnel.scaling.answer import answer
from windtunnel.scaling.laws.multi_power import MultiPower
from windtunnel.scaling.rates import Curves, every_step, with_areas
from windtunnel.scaling.schedule import features
from windtunnel.scaling.table import Table, read_table

STEPS = np.arange(60, 601, 60)
SCHEDULES = {
    "constant": np.full(600, 0.01),
    "linear": np.interp(np.arange(1, 601), [1, 600], [0.01, 0.001]),
    "wsd": np.interp(np.arange(1, 601), [1, 420, 600], [0.01, 0.01, 0.001]),
}
CURVES = Curves("schedule", decay=0.99, warmup=0)
THETA = {
    "lr_annealing": np.array([[2.5, 0.8, 0.5, 4.0]]),
    "multi_power": np.array([[2.5, 0.8, 0.4, 40.0, 20.0, 0.5, 0.5]]),
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(loss: dict[str, np.ndarray]) -> Table:
        rows = [
            f"{name},{step},{float(lr_T[step - 1])!r},{y!r}"
            for name, lr_T in SCHEDULES.items()
            for step, y in zip(STEPS.tolist(), loss[name].tolist(), strict=True)
        ]
        path = tmp_path / "curves.csv"
        path.write_text("\n".join(["schedule,iters,rate,loss", *rows]))
        return read_table(path)

    return _write


def flat() -> dict[str, np.ndarray]:
    return {name: np.full(len(STEPS), 3.0) for name in SCHEDULES}


def test_areas_and_rates_are_those_of_the_schedules(write: Any) -> None:
    table, schedules = with_areas(write(flat()), "step=iters,lr=rate", CURVES)
    for index, (name, lr_T) in enumerate(sorted(SCHEDULES.items())):
        expected = lr_T.copy()
        expected[: STEPS[0] - 1] = lr_T[STEPS[0] - 1]  # before the first row nothing is known
        np.testing.assert_allclose(schedules[index], expected, rtol=1e-12)
        areas = features(expected, decay=0.99, n_warmup=0)
        rows = table.columns["schedule"].text_M == name
        for column, values_T in zip(("S1", "S2"), areas, strict=True):
            found = table.columns[column].number_M[rows]
            np.testing.assert_allclose(found, values_T[STEPS - 1], rtol=1e-12)


def test_a_warm_up_rises_to_the_first_rate_after_it() -> None:
    lr_T = every_step(np.array([2.0, 5.0, 7.0]), np.array([9.0, 3.0, 1.0]), 3)
    np.testing.assert_allclose(lr_T, [0.75, 1.5, 2.25, 3.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize("law", ["lr_annealing", "multi_power"])
def test_a_third_schedule_is_predicted_from_two(write: Any, law: str) -> None:
    from windtunnel.scaling.laws import by_name

    loss, names = {}, sorted(SCHEDULES)
    seen = {name: lr_T.copy() for name, lr_T in SCHEDULES.items()}
    for lr_T in seen.values():
        lr_T[: STEPS[0] - 1] = lr_T[STEPS[0] - 1]
    for i, name in enumerate(names):
        if law == "multi_power":
            made: Any = MultiPower(tuple(seen[n] for n in names))
            x = {"curve": np.full(len(STEPS), float(i)), "step": STEPS.astype(float)}
        else:
            areas = features(seen[name], decay=0.99, n_warmup=0)
            made, x = by_name(law), {"S1": areas.S1_T[STEPS - 1], "S2": areas.S2_T[STEPS - 1]}
        loss[name] = made.predict(THETA[law], x)[0]
    request = replace(
        PLAIN, law=law, columns="step=iters,lr=rate,L=loss", holdout="schedule == 'wsd'",
        curves=CURVES, n_resamples=20,
    )  # fmt: skip
    found = answer(request, write(loss)).values
    assert found["holdout"]["rows"] == len(STEPS)
    assert found["holdout"]["mape"] < 2e-4
    np.testing.assert_allclose(found["parameters"]["L_0"]["value"], 2.5, rtol=5e-3)


@pytest.mark.parametrize(
    ("steps", "warmup", "words"),
    [
        ([1.0, 1.0], 0, "step: expected whole numbers"),
        ([1.0, 2.5], 0, "step: expected whole numbers"),
        ([1.0, 1e9], 0, "step: expected whole numbers up to"),
        ([1.0, 5.0], 5, "warmup: expected less than the 5 steps; got 5"),
    ],
)
def test_useless_steps_are_refused(steps: list[float], warmup: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        every_step(np.array(steps), np.ones(len(steps)), warmup)


def test_the_curve_is_named(write: Any) -> None:
    with pytest.raises(ValueError, match="curve constant: warmup: expected less than the 600"):
        with_areas(write(flat()), "step=iters,lr=rate", replace(CURVES, warmup=600))
    with pytest.raises(ValueError, match="curves: there is no column run; there are schedule"):
        with_areas(write(flat()), "step=iters,lr=rate", replace(CURVES, column="run"))
    with pytest.raises(ValueError, match="lr"):
        with_areas(write(flat()), "step=iters", CURVES)
