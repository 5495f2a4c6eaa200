from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.scorers.made import Sums, made_passages, scored
from windtunnel.data.packing import TRAIN
from windtunnel.scorers.loss import Difference, Excess, Loss, Trajectory

TEXTS = ["abc", "a longer one", "zz"]


def sums(text: str, scale: float) -> float:
    """Mean loss under `Sums`: a separator before and behind, a token a byte."""
    ids = np.array([256, *text.encode(), 256])
    return float((scale * (ids[1:] + 0.5 * ids[:-1])).mean())


def test_loss_is_the_mean_over_the_tokens_and_the_separator_behind(tmp_path: Path) -> None:
    found = scored(Loss(model=Sums(length=4), first_tokens=None), made_passages(tmp_path, TEXTS))
    assert found == {text: [pytest.approx(sums(text, 1))] for text in TEXTS}


def test_difference_is_high_where_the_large_model_is_better(tmp_path: Path) -> None:
    scorer = Difference(small=Sums(length=4, scale=3), large=Sums(length=9), first_tokens=None)
    found = scored(scorer, made_passages(tmp_path, TEXTS))
    assert found == {text: [pytest.approx(2 * sums(text, 1))] for text in TEXTS}


def test_a_trajectory_has_a_column_for_each_checkpoint(tmp_path: Path) -> None:
    models = {f"step{n}": Sums(length=4, scale=n) for n in (1, 2, 5)}
    scorer = Trajectory(models=models, first_tokens=None)
    assert scorer.columns == ("_step1", "_step2", "_step5")
    found = scored(scorer, made_passages(tmp_path, TEXTS))
    assert found == {text: pytest.approx([sums(text, n) for n in (1, 2, 5)]) for text in TEXTS}


def test_a_document_may_be_read_in_part(tmp_path: Path) -> None:
    passages = made_passages(tmp_path, TEXTS)
    for scorer in (
        Loss(model=Sums(length=2), first_tokens=3),
        Difference(small=Sums(length=2, scale=2), large=Sums(length=9), first_tokens=3),
        Trajectory(models={"end": Sums(length=2)}, first_tokens=3),
    ):
        found = scored(scorer, passages)
        a, b, c = (float(i) for i in b"a l")
        expected = (a + b + c + 0.5 * (256 + a + b)) / 3
        assert found["a longer one"] == [pytest.approx(expected)]
        assert found["zz"] == [pytest.approx(sums("zz", 1))]


def test_no_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scorer\.first_tokens: expected at least 1, .* got 0"):
        Loss(model=Sums(length=2), first_tokens=0)


def test_excess_stands_for_every_token_of_the_stream_but_the_first(tmp_path: Path) -> None:
    passages = made_passages(tmp_path, TEXTS)
    scorer = Excess(model=Sums(length=4, scale=3), reference=Sums(length=9))
    assert scorer.level == "token"
    found = scorer(list(passages))
    stream = passages.store.stream(TRAIN).astype(float)
    assert found[:, 0] == pytest.approx(2 * (stream[1:] + 0.5 * stream[:-1]))
