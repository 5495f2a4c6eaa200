from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.least_squares import LeastSquares
from windtunnel.scaling.mixture.ridge import Ridge
from windtunnel.studies.choice import Choice

TOKENS = {"a": 600, "b": 300, "c": 100}


def made_choice(**changes: Any) -> Choice:
    values: dict[str, Any] = {
        "regressors": {"ridge": Ridge(penalty=1e-4), "plane": LeastSquares()},
        "chooser": "ridge",
        "search": Draw(low=1.0, high=1.0, steps=1, temper=0.5),
        "n_search": 4000,
        "top": 20,
        "level": 0.9,
        "n_resamples": 100,
        "seed": 0,
    }
    return Choice(**(values | changes))


def points(n: int, seed: int) -> list[dict[str, Any]]:
    """Losses with their lowest point at (0.25, 0.5, 0.25)."""
    draw = Draw(low=0.5, high=5.0, steps=5, temper=0.0)
    rows = draw.mixtures(np.ones(3), np.ones(3), n, seed).tolist()
    return [
        {
            "job": f"p{seed}-{i}",
            "weights": {name: w for name, w in zip(TOKENS, row, strict=True) if w},
            "loss": 3 + (row[0] - 0.25) ** 2 + (row[1] - 0.5) ** 2 + (row[2] - 0.25) ** 2,
        }
        for i, row in enumerate(rows)
    ]


def test_the_chooser_chooses_and_all_are_judged() -> None:
    fit, test = points(64, 1), points(30, 2)
    found = made_choice().answers(TOKENS, fit, test, budget=1000, epochs=4.0)
    assert list(found["fitted"]) == ["ridge", "plane"]
    assert found["fitted"]["ridge"]["spearman"] > found["fitted"]["plane"]["spearman"]
    own = found["candidates"]
    assert list(own) == ["chosen", "natural", "uniform", "best_proxy"]
    assert own["chosen"]["weights"] == found["fitted"]["ridge"]["best_mixture"]
    assert own["chosen"]["weights"]["b"] == pytest.approx(0.5, abs=0.15)
    assert own["natural"]["weights"] == pytest.approx({"a": 0.6, "b": 0.3, "c": 0.1})
    assert own["uniform"]["epochs"] == pytest.approx({"a": 1 / 1.8, "b": 1 / 0.9, "c": 1 / 0.3})
    best = min([*fit, *test], key=lambda point: point["loss"])
    assert found["best_proxy"] == best["job"]
    assert own["best_proxy"]["weights"] == best["weights"]
    assert own["best_proxy"]["predicted"]["ridge"] == pytest.approx(best["loss"], abs=0.02)


def test_the_chosen_mixture_reads_no_domain_too_often() -> None:
    found = made_choice().answers(TOKENS, points(40, 1), points(20, 2), budget=1000, epochs=1.2)
    assert max(found["candidates"]["chosen"]["epochs"].values()) <= 1.2 + 1e-9
    assert found["candidates"]["uniform"]["epochs"]["c"] > 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chooser": "trees"}, r"study\.choice\.chooser must be one of .*ridge, plane; got trees"),
        ({"top": 0}, r"study\.choice\.top: expected at least 1, got 0"),
        ({"n_search": 10}, r"study\.choice\.n_search: expected at least 20, got 10"),
        ({"n_resamples": 0}, r"study\.choice\.n_resamples: expected at least 1"),
        ({"level": 95}, r"study\.choice\.level: expected between 0 and 1, got 95"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_choice(**changes)
