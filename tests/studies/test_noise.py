from __future__ import annotations

import random
import statistics

import pytest

from windtunnel.studies.noise import pooled_sd


def test_one_group_gives_its_standard_deviation() -> None:
    losses = [3.0, 3.1, 3.3, 2.9]
    assert pooled_sd([losses]) == pytest.approx(statistics.stdev(losses))


def test_means_of_groups_do_not_matter() -> None:
    groups = [[0.0, 1.0], [10.0, 11.0], [5.0]]
    assert pooled_sd(groups) == pytest.approx(0.5**0.5)


def test_the_true_noise_is_found() -> None:
    rng = random.Random(0)
    groups = [[g + rng.gauss(0, 0.01) for _ in range(3)] for g in range(400)]
    assert pooled_sd(groups) == pytest.approx(0.01, rel=0.06)


def test_single_values_tell_nothing() -> None:
    assert pooled_sd([[1.0], [2.0], []]) is None
