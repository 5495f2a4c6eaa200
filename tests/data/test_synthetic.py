from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from windtunnel.data.synthetic import (
    MarkovSource,
    directions,
    draw_chain,
    entropy_rate,
    stationary,
)


def source(**changes: Any) -> MarkovSource:
    settings: dict[str, Any] = {
        "vocab_size": 8,
        "strength": 1.5,
        "exponent": 1.0,
        "train_tokens": 20_000,
        "held_out_tokens": 5_000,
        "seed": 1,
    }
    return MarkovSource(**{**settings, **changes})


def contents(made: MarkovSource) -> dict[str, ndarray]:
    return {d.split: np.asarray(d.content) for d in made.documents()}


def logits(table_SV: ndarray) -> ndarray:
    """Logits [S, V] with a mean of 0 in every row, which a softmax does not see."""
    log_SV = np.log(table_SV)
    return log_SV - log_SV.mean(1, keepdims=True)


def test_entropy_rate_of_chains_known_by_hand() -> None:
    fair = np.full((2, 2), 0.5)
    assert entropy_rate(fair, stationary(fair)) == pytest.approx(np.log(2), rel=1e-12)
    a, b = 0.2, 0.4  # leave state 0, leave state 1: pi = (b, a) / (a + b)
    flip = np.array([[1 - a, a], [b, 1 - b]])
    h = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in (a, b)]
    assert stationary(flip) == pytest.approx(np.array([b, a]) / (a + b))
    assert entropy_rate(flip, stationary(flip)) == pytest.approx((b * h[0] + a * h[1]) / (a + b))


def test_entropy_rate_is_what_one_more_token_adds_to_all_strings() -> None:
    made = source(vocab_size=4)

    def entropy(length: int) -> float:
        total = 0.0
        for string in product(range(4), repeat=length):
            p = made.stationary_S[string[0]]
            for last, following in pairwise(string):
                p *= made.table_SV[last, following]
            total -= p * np.log(p)
        return total

    assert entropy(5) - entropy(4) == pytest.approx(made.entropy_rate_nats, rel=1e-12)


@pytest.mark.parametrize(("strength", "exponent"), [(0.7, 1.0), (2.0, 1.25)])
def test_the_spectrum_of_the_logits_is_the_stated_power(strength: float, exponent: float) -> None:
    found_SV = logits(source(vocab_size=40, strength=strength, exponent=exponent).table_SV)
    spectrum = np.linalg.svd(found_SV, compute_uv=False) / 40
    assert spectrum[:39] == pytest.approx(strength * np.arange(1.0, 40.0) ** -exponent, rel=1e-9)
    assert spectrum[39] == pytest.approx(0, abs=1e-12)
    assert found_SV.mean(0) == pytest.approx(np.zeros(40), abs=1e-12)


def test_logits_of_lower_rank_lose_the_tail_of_the_spectrum() -> None:
    made = source(vocab_size=60, strength=0.05)
    left, values, right = np.linalg.svd(logits(made.table_SV))
    ranks, squares = (1, 4, 16), (made.strength / np.arange(1.0, 60.0)) ** 2
    for rank in ranks:
        weights_SV = np.exp((left[:, :rank] * values[:rank]) @ right[:rank])
        log_SV = np.log(weights_SV / weights_SV.sum(1, keepdims=True))
        loss = -made.stationary_S @ (made.table_SV * log_SV).sum(1)
        assert loss - made.entropy_rate_nats == pytest.approx(squares[rank:].sum() / 2, rel=0.05)


def test_directions_are_uncorrelated_and_free_of_the_constant() -> None:
    found = directions(12, np.random.default_rng(1))
    assert found.T @ found / 12 == pytest.approx(np.eye(11), abs=1e-12)
    assert found.mean(0) == pytest.approx(np.zeros(11), abs=1e-12)


def test_every_direction_has_the_sign_of_its_draw() -> None:
    drawn = np.random.default_rng(3).standard_normal((12, 11))
    found = directions(12, np.random.default_rng(3))
    assert ((found * drawn).sum(0) > 0).all()  # a bare QR turns some of them round
    centred = drawn[:, 0] - drawn[:, 0].mean()
    assert found[:, 0] == pytest.approx(centred / centred.std())


def test_the_stationary_law_stays() -> None:
    made = source()
    assert made.stationary_S @ made.table_SV == pytest.approx(made.stationary_S, abs=1e-13)
    assert made.stationary_S.sum() == pytest.approx(1)


def test_drawn_tokens_follow_the_table() -> None:
    made = source(vocab_size=4, train_tokens=200_000)
    ids = contents(made)["train"]
    counts = np.zeros_like(made.table_SV)
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    error = counts / counts.sum(1, keepdims=True) - made.table_SV
    spread = np.sqrt(made.table_SV * (1 - made.table_SV) / counts.sum(1, keepdims=True))
    assert np.abs(error / spread).max() < 5
    surprise = -np.log(made.table_SV[ids[:-1], ids[1:]])
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


def test_rows_without_an_end_to_their_logits_still_have_an_entropy() -> None:
    assert np.isfinite(entropy_rate(source(strength=1e4).table_SV, np.full(8, 1 / 8)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("vocab_size", 1),
        ("train_tokens", 1),
        ("held_out_tokens", 0),
        ("strength", 0.0),
        ("exponent", -1.0),
    ],
)
def test_bad_settings_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"data\.{setting}: expected .*, got {value}"):
        source(**{setting: value})


def test_a_chain_that_never_mixes_is_refused() -> None:
    stuck = np.array([[1 - 1e-9, 1e-9, 0], [0, 1 - 2e-9, 2e-9], [3e-9, 0, 1 - 3e-9]])
    with pytest.raises(ValueError, match=r"data\.strength: the chain of 3 tokens mixes too"):
        stationary(stuck)
