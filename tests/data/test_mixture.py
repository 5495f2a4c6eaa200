from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from windtunnel.data.mixture import Fixed, Groups, Phases, Scheduled, Temperature, UniMax

GROUPS = Groups(["a", "b", "c"], np.array([100, 300, 0]))


def test_fixed_proportions_are_by_name() -> None:
    plan = Fixed(weights={"b": 0.25, "a": 0.75}).plan(GROUPS, 1000)
    assert plan.shares_K.tolist() == [0, 1]
    assert plan.weights_KG.tolist() == [[0.75, 0.25, 0]] * 2


def test_weights_are_scaled_to_one() -> None:
    plan = Fixed(weights={"a": 0.3333, "b": 0.6666}).plan(GROUPS, 1000)
    assert plan.weights_KG.sum(1) == pytest.approx([1, 1], abs=1e-12)


def test_temperature_and_unimax_know_the_sizes() -> None:
    natural = Temperature(alpha=1.0).plan(GROUPS, 1000)
    assert natural.weights_KG[0].tolist() == [0.25, 0.75, 0]
    capped = UniMax(epochs=1.0).plan(GROUPS, 300)
    assert capped.weights_KG[0] == pytest.approx([1 / 3, 2 / 3, 0])


def test_phases_follow_each_other() -> None:
    phases = [
        {"until": 0.8, "weights": {"a": 1.0}},
        {"until": 1.0, "weights": {"a": 0.1, "b": 0.9}},
    ]
    plan = Phases(phases=phases).plan(GROUPS, 1000)
    assert plan.shares_K.tolist() == [0, 0.8, 0.8, 1]
    assert plan.weights_KG[:, 0].tolist() == [1, 1, 0.1, 0.1]


def test_a_schedule_goes_through_its_points() -> None:
    points = [{"at": at, "weights": {"a": 1 - at, "b": at}} for at in (0, 0.5, 1)]
    plan = Scheduled(points=points).plan(GROUPS, 1000)
    assert plan.shares_K.tolist() == [0, 0.5, 1]
    assert plan.weights_KG[:, 1].tolist() == [0, 0.5, 1]


def phases(*until: float) -> Any:
    return Phases(phases=[{"until": u, "weights": {"a": 1.0}} for u in until])


def scheduled(*at: float) -> Any:
    return Scheduled(points=[{"at": x, "weights": {"a": 1.0}} for x in at])


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (Fixed(weights={"a": 0.5, "d": 0.5}), r"weights: expected names of domains, got d; the d"),
        (
            Fixed(weights={"a": 0.5, "b": 0.4}),
            r"expected weights from 0 with sum 1, got .* sum 0\.9",
        ),
        (Fixed(weights={"a": 1.5, "b": -0.5}), r"expected weights from 0 with sum 1"),
        (Fixed(weights={"a": float("nan")}), r"expected weights from 0 with sum 1"),
        (Fixed(weights={}), r"expected weights from 0 with sum 1, got {} with sum 0"),
        (
            Fixed(weights={"a": 0.5, "c": 0.5}),
            r"got some for c, of which the selection leaves noth",
        ),
        (phases(0.5, 0.9), r"until that ascend from above 0 to 1, got \[0\.5, 0\.9\]"),
        (phases(0.5, 0.5, 1.0), r"until that ascend from above 0 to 1"),
        (phases(0.0, 1.0), r"until that ascend from above 0 to 1"),
        (phases(), r"phases: expected at least one mapping, got none"),
        (Phases(phases=[{"at": 1, "weights": {}}]), r"phases: expected mappings with until and we"),
        (scheduled(0.1, 1.0), r"points: expected values of at that ascend from 0 to 1, got \[0\.1"),
        (scheduled(0.0, 0.9), r"points: expected values of at that ascend from 0 to 1"),
        (scheduled(), r"points: expected at least one mapping, got none"),
    ],
)
def test_bad_weights_are_refused(mixture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sampler\.mixture.*{message}"):
        mixture.plan(GROUPS, 1000)


def test_a_bad_cap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler\.mixture\.epochs: expected above 0, got 0"):
        UniMax(epochs=0)
