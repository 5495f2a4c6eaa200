from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from windtunnel.data.synthetic import entropy_rate, stationary
from windtunnel.data.synthetic_languages import MarkovLanguages

LANGUAGES = {
    "a": {"tokens": 60_000, "strength": 0.8},
    "b": {"tokens": 5_000, "strength": 0.8},
    "c": {"tokens": 5_000, "strength": 2.0},
}


def source(**changes: Any) -> MarkovLanguages:
    settings: dict[str, Any] = {
        "languages": LANGUAGES,
        "shared_tokens": 3,
        "private_tokens": 5,
        "exponent": 1.0,
        "held_out_tokens": 2_000,
        "seed": 1,
    }
    return MarkovLanguages(**{**settings, **changes})


def contents(made: MarkovLanguages) -> dict[tuple[str, str], ndarray]:
    return {(d.domain, d.split): np.asarray(d.content) for d in made.documents()}


def test_every_language_has_its_tokens_and_the_shared_ones() -> None:
    made = source()
    assert made.vocab_size == 3 + 3 * 5
    assert made.ids("b").tolist() == [0, 1, 2, 8, 9, 10, 11, 12]
    found = contents(made)
    assert {key: len(ids) for key, ids in found.items()} == {
        ("a", "train"): 60_000, ("a", "held_out"): 2_000, ("b", "train"): 5_000,
        ("b", "held_out"): 2_000, ("c", "train"): 5_000, ("c", "held_out"): 2_000,
    }  # fmt: skip
    for (name, _), ids in found.items():
        assert set(ids.tolist()) <= set(made.ids(name).tolist())
    assert set(found["a", "train"].tolist()) == set(made.ids("a").tolist())


def test_drawn_tokens_follow_the_table_and_its_entropy() -> None:
    made = source()
    ids, table = contents(made)["a", "train"], made.tables["a"]
    local = np.searchsorted(made.ids("a"), ids)
    counts = np.zeros_like(table)
    np.add.at(counts, (local[:-1], local[1:]), 1)
    error = counts / counts.sum(1, keepdims=True) - table
    spread = np.sqrt(table * (1 - table) / counts.sum(1, keepdims=True))
    assert np.abs(error / spread).max() < 5
    surprise = -np.log(table[local[:-1], local[1:]])
    rate = made.facts()["entropy_rates_nats"]["a"]
    assert rate == pytest.approx(entropy_rate(table, stationary(table)))
    assert surprise.mean() == pytest.approx(rate, abs=8 * surprise.std() / np.sqrt(60_000))


def test_shared_tokens_do_the_same_to_each_other_in_every_language() -> None:
    """Ratios of the odds of two shared tokens after two shared tokens are those of the logits."""
    tables = source().tables

    def odds(table: ndarray) -> ndarray:
        log = np.log(table[:3, :3])
        return log - log[:, :1]  # the normalisation of each row falls out

    assert odds(tables["a"]) == pytest.approx(odds(tables["b"]))
    assert odds(tables["c"]) == pytest.approx(odds(tables["a"]) * 2.0 / 0.8)
    private = np.log(tables["a"][3:, 3:]) - np.log(tables["b"][3:, 3:])
    assert np.abs(private).max() > 0.1


def test_a_stronger_language_is_easier() -> None:
    rates = source(private_tokens=40).facts()["entropy_rates_nats"]
    assert rates["c"] < min(rates["a"], rates["b"]) < np.log(43)


def test_stretches_repeat_with_the_seed_and_differ_otherwise() -> None:
    one, two, other = (contents(source(seed=s)) for s in (1, 1, 2))
    assert all((one[key] == two[key]).all() for key in one)
    assert (one["a", "train"] != other["a", "train"]).any()
    assert (one["a", "train"][:2000] != one["a", "held_out"]).any()
    assert source().listing() == source().listing() != source(seed=2).listing()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"languages": {}}, r"data\.languages: expected at least one"),
        ({"languages": {"a": {"tokens": 9}}}, r"data\.languages\.a: expected tokens and strength"),
        (
            {"languages": {"a": {"tokens": 1, "strength": 1.0}}},
            r"data\.languages\.a: .* got 1 and 1\.0",
        ),
        ({"shared_tokens": -1}, r"data\.shared_tokens: expected at least 0, got -1"),
        ({"private_tokens": 1}, r"data\.private_tokens: expected at least 2, got 1"),
        ({"held_out_tokens": 1}, r"data\.held_out_tokens: expected at least 2, got 1"),
        ({"exponent": 0.0}, r"data\.exponent: expected above 0, got 0\.0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        source(**changes)
