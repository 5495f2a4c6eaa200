from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from windtunnel.data.pacing import competence, linear, root, step

AT = (0, 0.1, 0.25, 0.5, 1)


def test_competence_of_platanios() -> None:
    curve = [competence(t, start=0.01, until=1.0, power=2.0) for t in AT]
    assert curve == pytest.approx([0.01, 0.3164, 0.5001, 0.7071, 1], abs=5e-5)


def test_linear_growth() -> None:
    curve = [linear(t, start=0.01, until=1.0) for t in AT]
    assert curve == pytest.approx([0.01, 0.109, 0.2575, 0.505, 1])
    same = [competence(t, start=0.01, until=1.0, power=1.0) for t in AT]
    assert same == pytest.approx(curve)


def test_root_growth() -> None:
    curve = [root(t, start=0.2, until=1.0, power=2.0) for t in AT]
    assert curve == pytest.approx([0.2 + 0.8 * t**0.5 for t in AT])


def test_steps() -> None:
    curve = [step(t / 10, start=0.1, until=0.8, n_steps=2) for t in range(11)]
    assert curve == pytest.approx([0.1] * 4 + [0.55] * 4 + [1.0] * 3)


@pytest.mark.parametrize(
    "pace",
    [
        linear,
        partial(root, power=3.0),
        partial(step, n_steps=5),
        partial(competence, power=2.0),
    ],
)
def test_all_is_available_from_the_end_on(pace: Any) -> None:
    curve = [pace(t / 100, start=0.0, until=0.37) for t in range(101)]
    assert curve == sorted(curve)
    assert curve[0] == 0
    assert curve[37:] == [1.0] * 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": 1.1}, r"pacing\.start: expected a share from 0 to 1, got 1\.1"),
        ({"until": 0.0}, r"pacing\.until: expected a share of the budget above 0 .* got 0\.0"),
        ({"power": 0.5}, r"pacing\.power, n_steps: expected at least 1, got 0\.5"),
    ],
)
def test_bad_paces_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        root(0.1, **{"start": 0.1, "until": 0.5, "power": 2.0, **changes})
