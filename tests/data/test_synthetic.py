from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from windtunnel.data.synthetic import MarkovSource, draw_chain, entropy_rate, stationary


def source(**changes: Any) -> MarkovSource:
    settings: dict[str, Any] = {
        "vocab_size": 8,
        "order": 1,
        "concentration": 0.5,
        "train_tokens": 20_000,
        "held_out_tokens": 5_000,
        "seed": 1,
    }
    return MarkovSource(**{**settings, **changes})


def contents(made: MarkovSource) -> dict[str, ndarray]:
    return {d.split: np.asarray(d.content) for d in made.documents()}


def test_entropy_rate_of_chains_known_by_hand() -> None:
    fair = np.full((2, 2), 0.5)
    assert entropy_rate(fair, stationary(fair)) == pytest.approx(np.log(2), rel=1e-12)
    a, b = 0.2, 0.4  # leave state 0, leave state 1: pi = (b, a) / (a + b)
    flip = np.array([[1 - a, a], [b, 1 - b]])
    h = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in (a, b)]
    assert stationary(flip) == pytest.approx(np.array([b, a]) / (a + b))
    assert entropy_rate(flip, stationary(flip)) == pytest.approx((b * h[0] + a * h[1]) / (a + b))


@pytest.mark.parametrize("order", [1, 2])
def test_the_stationary_law_stays(order: int) -> None:
    made = source(vocab_size=5, order=order)
    n_states = 5**order
    transition = np.zeros((n_states, n_states))
    for state in range(n_states):
        for token in range(5):
            transition[state, (state * 5 + token) % n_states] += made.table_SV[state, token]
    assert made.stationary_S @ transition == pytest.approx(made.stationary_S, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_drawn_tokens_follow_the_table(order: int) -> None:
    made = source(vocab_size=4, order=order, train_tokens=200_000)
    ids = contents(made)["train"]
    states = ids[:-order].copy()
    for k in range(1, order):
        states = states * 4 + ids[k : k - order]
    counts = np.zeros_like(made.table_SV)
    np.add.at(counts, (states, ids[order:]), 1)
    error = counts / counts.sum(1, keepdims=True) - made.table_SV
    spread = np.sqrt(made.table_SV * (1 - made.table_SV) / counts.sum(1, keepdims=True))
    assert np.abs(error / np.maximum(spread, 1e-4)).max() < 5
    surprise = -np.log(made.table_SV[states, ids[order:]])
    assert surprise.mean() == pytest.approx(
        made.entropy_rate_nats, abs=5 * surprise.std() / np.sqrt(len(surprise)) * 1.5
    )


def test_starts_in_the_stationary_law() -> None:
    table = np.array([[0.9, 0.1], [0.3, 0.7]])
    law = stationary(table)
    generator = np.random.default_rng(1)
    first = [draw_chain(table, law, 1, generator)[0] for _ in range(4000)]
    assert np.mean(first) == pytest.approx(law[1], abs=4 * np.sqrt(law[0] * law[1] / 4000))


def test_stretches_are_independent_and_repeat_with_the_seed() -> None:
    one, two, other = (contents(source(seed=s)) for s in (1, 1, 2))
    assert {k: len(v) for k, v in one.items()} == {"train": 20_000, "held_out": 5_000}
    assert all((one[k] == two[k]).all() for k in one)
    assert (one["train"][:5000] != one["held_out"]).any()
    assert (one["train"] != other["train"]).any()


def test_facts_hold_the_entropy_rate() -> None:
    made = source()
    assert made.facts()["entropy_rate_nats"] == made.entropy_rate_nats
    assert 0 < made.entropy_rate_nats < np.log(8)
    assert made.listing() == source().listing() != source(seed=2).listing()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("order", 3),
        ("vocab_size", 1),
        ("train_tokens", 1),
        ("held_out_tokens", 0),
        ("concentration", 0.0),
    ],
)
def test_bad_settings_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"data\.{setting}: expected .*, got {value}"):
        source(**{setting: value})


def test_a_chain_that_never_mixes_is_refused() -> None:
    stuck = np.array([[1 - 1e-9, 1e-9, 0], [0, 1 - 2e-9, 2e-9], [3e-9, 0, 1 - 3e-9]])
    with pytest.raises(ValueError, match=r"data\.concentration: the chain of 3 states mixes too"):
        stationary(stuck)
