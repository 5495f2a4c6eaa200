"""Answers: known coefficients come back from a table, honest refusals, which interval is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scaling.test_request import PLAIN
from windtunnel.scaling.answer import answer, plain
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.table import Table, read_table

EPOCH = np.array([[482.01, 2085.43, 1.8172, 0.3478, 0.3658]])  # Besiroglu et al. 2024, 2404.10102
GIVEN = replace(PLAIN, columns="N=N_params,D=D_tokens,L=loss", level=0.95, n_resamples=60)
TARGET = {"N": 7e10, "D": 1.4e12}
# Widths, parameters in 2^20 and training losses of mu-Scaling: Yao et al. 2023, arXiv 2304.06875.
MU_SCALING = """width,N,L
128,8.53,3.9181
256,21.56,3.6054
384,39.09,3.4431
512,61.12,3.3542
640,87.65,3.2902
768,118.68,3.2478
896,154.21,3.2240
1024,194.24,3.1797
2048,676.48,3.0854
3072,1446.72,3.0425
"""

Write = Callable[[str], Table]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Table:
        path = tmp_path / "runs.csv"
        path.write_text(text)
        return read_table(path)

    return _write


def runs(n_M: int, noise: float, seed: int = 0, decades: float = 2.0) -> str:
    """Runs of Chinchilla's law with Besiroglu's coefficients, three seeds each."""
    rng = np.random.default_rng(seed)
    N = 10 ** rng.uniform(8, 8 + decades, n_M)
    D = 20 * N * 4 ** rng.uniform(-1, 1, n_M)
    loss = Chinchilla().predict(EPOCH, {"N": N, "D": D})[0]
    loss *= np.exp(noise * rng.standard_normal(n_M))
    rows = zip(N, D, loss, np.arange(n_M) % 5, strict=True)
    lines = [f"{n!r},{d!r},{loss!r},{seed}" for n, d, loss, seed in map(tuple, map(_floats, rows))]
    return "\n".join(["N_params,D_tokens,loss,seed", *lines])


def _floats(row: tuple[Any, ...]) -> list[Any]:
    return [*map(float, row[:3]), int(row[3])]


def test_known_coefficients_come_back(write: Write) -> None:
    request = replace(
        GIVEN, targets=(TARGET,), budgets=(5.76e23,), holdout="N_params > 5e9", n_resamples=200
    )
    told: list[int] = []
    found = answer(request, write(runs(120, 0.002)), told.append).values
    for (name, line), truth in zip(found["parameters"].items(), EPOCH[0], strict=True):
        assert line["low"] < truth < line["high"], name
        assert line["low"] < line["value"] < line["high"]
        assert line["meaning"]
    (predicted,) = found["predictions"]
    truth = Chinchilla().predict(EPOCH, {k: np.array([v]) for k, v in TARGET.items()})[0, 0]
    assert predicted["low"] < truth < predicted["high"]
    np.testing.assert_allclose(predicted["loss"], truth, rtol=5e-3)
    assert predicted["inputs"] == TARGET
    np.testing.assert_allclose(predicted["cost"]["target_flops"], 6 * 7e10 * 1.4e12)
    assert 0 < predicted["cost"]["share"] < 1
    assert predicted["next_run"]["flops"] <= predicted["cost"]["ladder_flops"]
    assert 0 < predicted["next_run"]["shrinks"] < 1
    (best,) = found["optimum"]
    assert best["N_low"] < 7.4e10 < best["N_high"]
    assert found["holdout"]["rows"] + found["rows"]["fitted"] == 120
    assert found["holdout"]["mape"] < 0.005
    assert abs(found["holdout"]["max_error"]) >= found["holdout"]["mape"]
    assert found["starts"]["tried"] == 300
    assert found["warnings"] == []
    assert found["intervals"] == "bootstrap over runs, 200 resamples"
    assert sum(told) == 200
    json.dumps(found, allow_nan=False)


def test_a_published_ladder(write: Write) -> None:
    """(a, b, c) of mu-Scaling's first seven widths, and its held-out errors within 0.02 points."""
    request = replace(
        PLAIN,
        law="power_law_constant",
        columns="",
        holdout="width > 896",
        loss_kind="least_squares",
        delta=None,
    )
    found = answer(request, write(MU_SCALING)).values
    values = [line["value"] for line in found["parameters"].values()]
    np.testing.assert_allclose(values, [2.469, -0.423, 2.923], rtol=5e-3)
    assert found["holdout"]["rows"] == 3
    np.testing.assert_allclose(found["holdout"]["mape"], 0.00217, atol=2e-4)
    np.testing.assert_allclose(found["holdout"]["max_error"], 0.00292, atol=2e-4)
    assert found["intervals"] == "profile likelihood"
    assert found["predictions"] == found["optimum"] == found["laws"] == []


@pytest.mark.parametrize(
    ("n_M", "change", "how"),
    [
        (30, {}, "bootstrap over residuals, 60 resamples"),
        (50, {}, "bootstrap over runs, 60 resamples"),
        (50, {"group": "seed"}, "bootstrap by seed, 60 resamples"),
        (50, {"loss_kind": "least_squares", "delta": None}, "bootstrap over runs, 60 resamples"),
        (30, {"n_resamples": None}, "bootstrap over residuals, 500 resamples"),
        (
            30,
            {"loss_kind": "least_squares", "delta": None, "n_resamples": None},
            "profile likelihood",
        ),
    ],
)
def test_which_interval_is_used(write: Write, n_M: int, change: dict[str, Any], how: str) -> None:
    request = replace(GIVEN, targets=(TARGET,), **change)
    found = answer(request, write(runs(n_M, 0.003))).values
    assert found["intervals"] == how
    (predicted,) = found["predictions"]
    assert predicted["low"] < predicted["loss"] < predicted["high"]
    few = "there are only 5 groups of seed"
    assert any(few in words for words in found["warnings"]) == ("group" in change)


def test_least_squares_without_refits_still_finds_an_optimum(write: Write) -> None:
    request = replace(
        GIVEN, loss_kind="least_squares", delta=None, n_resamples=None, budgets=(1e21,)
    )
    (best,) = answer(request, write(runs(50, 0.002))).values["optimum"]
    assert best["N_low"] < best["N"] < best["N_high"]


def test_a_short_ladder_is_not_sure_of_its_constant(write: Write) -> None:
    request = replace(GIVEN, targets=(TARGET,))
    cases = {1: "the constant E collapsed", 4: "E is not identified: its interval is wider",
             10: "E is not identified: its 95 % interval is wider"}  # fmt: skip
    for seed, words in cases.items():
        found = answer(request, write(runs(20, 0.01, seed, decades=0.2))).values
        E = found["parameters"]["E"]
        assert not E["identified"]
        assert E["high"] - E["low"] > 0.5
        assert words in " / ".join(found["warnings"])
        (predicted,) = found["predictions"]
        assert predicted["high"] - predicted["low"] > 0.2


def test_mixed_lengths_are_refused(write: Write) -> None:
    request = replace(GIVEN, law="power_law_constant")
    with pytest.raises(ValueError, match="D_tokens: the table mixes lengths of training"):
        answer(request, write(runs(30, 0.01)))


def test_the_law_that_predicts_the_largest_runs_is_chosen(write: Write) -> None:
    request = replace(GIVEN, law="auto", targets=(TARGET,))
    found = answer(request, write(runs(60, 0.002))).values
    assert found["law"] in ("chinchilla", "minicpm", "gadre")  # the same form
    lines = {line["law"]: line for line in found["laws"]}
    assert next(iter(lines)) == found["law"]
    assert lines["chinchilla"]["mape"] < lines["power_law:D"]["mape"]
    assert "mixes lengths of training" in lines["power_law"]["why_not"]
    assert "lr_annealing" not in lines
    known = [line["mape"] for line in found["laws"] if line["mape"] is not None]
    assert known == sorted(known)
    assert any("its held-out error flatters" in words for words in found["warnings"])
    apart = answer(replace(request, holdout="N_params > 5e9"), write(runs(60, 0.002))).values
    assert not any("flatters" in words for words in apart["warnings"])
    assert apart["holdout"]["on"] == "the rows held out"


def test_auto_without_a_law_that_fits(write: Write) -> None:
    with pytest.raises(ValueError, match="auto found none that can be fitted; none has all"):
        answer(replace(GIVEN, law="auto", columns="L=loss"), write("loss\n3\n4\n"))
    with pytest.raises(ValueError, match=r"auto found none .*; power_law: .* expected at least 2"):
        answer(replace(GIVEN, law="auto", columns="N=N,L=L"), write("N,L\n3,4\n"))


def test_as_many_runs_as_coefficients_give_no_interval(write: Write) -> None:
    request = replace(PLAIN, law="power_law", columns="", targets=({"N": 100.0},))
    found = answer(request, write("N,L\n1,4\n10,3\n")).values
    assert found["intervals"] is None
    assert found["predictions"][0] | {"cost": None} == {
        "inputs": {"N": 100.0},
        "loss": pytest.approx(2.25),
        "low": None,
        "high": None,
        "cost": None,
        "next_run": None,
    }
    assert found["parameters"]["b"]["low"] is None
    assert found["holdout"] is None
    assert any("was not judged on its largest runs" in words for words in found["warnings"])


def test_runs_without_noise_give_an_interval_without_width(write: Write) -> None:
    sizes = [1, 3, 9, 27, 81, 243]
    rows = "\n".join(f"{n},{4 * n**-0.1!r}" for n in sizes)
    request = replace(PLAIN, law="power_law", columns="", targets=({"N": 1e4},))
    for change in ({}, {"loss_kind": "least_squares", "delta": None}):
        found = answer(replace(request, **change), write(f"N,L\n{rows}\n")).values
        (predicted,) = found["predictions"]
        ends = [predicted["low"], predicted["high"]]
        np.testing.assert_allclose(ends, predicted["loss"], rtol=1e-9)
        assert any("there is no noise" in words for words in found["warnings"])


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        ("N,L\n1,4\n", {}, "power_law: expected at least 2 different N"),
        ("N,L\n1,4\n1,3\n1,5\n", {}, "expected at least 2 different N"),
        ("N,L\n1,4\n2,3\n", {"law": "straight"}, "law: expected one of"),
        ("N,L\n1,4\n2,3\n3,3\n", {"targets": ({"D": 3.0},)}, "column N: the law needs it"),
        ("N,L\n1,4\n2,3\n3,3\n", {"targets": ({"N": -3.0},)}, "column N: expected finite numbers"),
        ("N,L\n1,4\n2,3\n3,3\n", {"budgets": (1e20,)}, "expected a law of Chinchilla's form"),
        ("N,L\n1,4\n2,3\n3,3\n", {"level": 1.0}, "level: expected a probability"),
        ("N,L\n1,4\n2,3\n3,3\n", {"n_resamples": 5}, "n_resamples: expected at least 20"),
        ("N,L\n1,4\n2,3\n3,3\n", {"delta": None}, "delta: huber_log needs one"),
    ],
)
def test_what_is_refused(write: Write, text: str, change: dict[str, Any], message: str) -> None:
    request = replace(PLAIN, **{"law": "power_law", "columns": "", **change})
    with pytest.raises(ValueError, match=message):
        answer(request, write(text))


def test_what_json_cannot_hold_becomes_none() -> None:
    values = {"a": [1.0, float("nan")], "b": (float("inf"), {"c": "x", "d": None, "e": 3})}
    assert plain(values) == {"a": [1.0, None], "b": [None, {"c": "x", "d": None, "e": 3}]}


def test_a_figure_of_one_column_gets_a_curve_to_its_target(write: Write) -> None:
    rows = "\n".join(f"{n},{4 * n**-0.1 + 0.01 * (-1) ** n!r}" for n in range(1, 9))
    request = replace(PLAIN, law="power_law", columns="", targets=({"N": 1e4},), holdout="N == 8")
    drawing = answer(request, write(f"N,L\n{rows}\n")).drawing
    assert (drawing["band"]["x"][0], drawing["band"]["x"][-1]) == pytest.approx((1.0, 1e4))
    assert all(a < b for a, b in zip(drawing["band"]["low"], drawing["band"]["high"], strict=True))
    assert drawing["held"] == [False] * 7 + [True]
    assert answer(GIVEN, write(runs(30, 0.01))).drawing["band"] is None
