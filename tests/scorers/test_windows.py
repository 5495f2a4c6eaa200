from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.scorers.made import Sums
from windtunnel.scorers import windows
from windtunnel.scorers.windows import mean_nats, nats_of


@pytest.mark.parametrize("length", [1, 3, 7, 100])
@pytest.mark.parametrize("at_once", [1, 8, 1000])
def test_every_token_is_predicted_once_in_its_place(
    monkeypatch: pytest.MonkeyPatch, length: int, at_once: int
) -> None:
    monkeypatch.setattr(windows, "TOKENS_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    documents = [generator.integers(0, 9, n) for n in (1, 2, 3, 4, 7, 8, 15, 40, 2)]
    model = Sums(length=length)
    found = nats_of(model, documents)
    for ids, nats in zip(documents, found, strict=True):
        assert nats.tolist() == (ids[1:] + 0.5 * ids[:-1]).tolist()
    assert max(n_rows * (n - 1) for n_rows, n in model.shapes) <= max(at_once, length)


def test_like_lengths_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "TOKENS_AT_ONCE", 20)
    model = Sums(length=10)
    nats_of(model, [np.zeros(n, int) for n in (11, 2, 11, 2, 2)])
    assert model.shapes == [(2, 11), (3, 2)]


def test_the_mean_is_over_the_tokens_of_a_document() -> None:
    documents: Any = [np.array([1, 2, 3]), np.array([5])]
    found = mean_nats(Sums(length=1), documents)
    assert found[0] == (2.5 + 4) / 2
    assert np.isnan(found[1])
