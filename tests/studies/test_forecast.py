from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest

from tests.made import sizes
from windtunnel.scaling.laws import by_name
from windtunnel.scaling.noise import Noise
from windtunnel.studies.forecast import compare, forecasts, of_one_ladder, relative_error, share
from windtunnel.studies.method import Method

LAW = by_name("power_law_constant")
METHOD = Method("least_squares", None, "profile", 0.95, 100, 0)
WIDTHS = (32, 48, 64, 96, 128, 160)
TARGET_N = sizes(352)["total"]


def truth(n: float) -> float:
    return 60 * n**-0.35 + 2.8


def made_rows(seeds: int, sd: float, start: int = 0, replicates: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(start)
    return [
        {"job": f"w{w}-s{s}", "width": w, "ladder": 1 + (s - 1) // replicates,
         "n": sizes(w)["total"], "loss": truth(sizes(w)["total"]) + rng.gauss(0, sd)}
        for w in WIDTHS for s in range(1, seeds * replicates + 1)
    ]  # fmt: skip


def predict(rows: list[dict[str, Any]], n_seeds: int, replicates: int = 1) -> dict[str, Any]:
    return forecasts(rows, TARGET_N, LAW, METHOD, n_seeds=n_seeds, replicates=replicates)


def test_exact_points_predict_the_truth() -> None:
    found = predict(made_rows(1, 1e-6), 1)
    pooled = found["pooled"]
    assert pooled["prediction"]["loss"] == pytest.approx(truth(TARGET_N), rel=1e-4)
    assert pooled["parameters"]["b"] == pytest.approx(-0.35, rel=0.01)
    assert pooled["baselines"]["copy_largest"] == pytest.approx(truth(sizes(160)["total"]))
    assert pooled["baselines"]["power_law"] < truth(TARGET_N)
    assert abs(pooled["leave_largest_out"]["error"]) < 1e-3
    assert found["per_seed"] == {}
    assert len(pooled["band"]["n"]) == len(pooled["band"]["low"])
    assert pooled["band"]["n"][-1] == pytest.approx(TARGET_N)


def test_the_interval_holds_the_seed_noise_of_the_target() -> None:
    rng, inside = random.Random(1), 0
    for start in range(12):
        pooled = predict(made_rows(1, 0.01, start), 1)["pooled"]
        target = truth(TARGET_N) + rng.gauss(0, 0.01)
        inside += pooled["prediction"]["low"] <= target <= pooled["prediction"]["high"]
    assert inside >= 10


def test_the_residual_deviation_is_corrected_for_the_coefficients() -> None:
    found = [predict(made_rows(1, 0.01, start), 1)["pooled"] for start in range(12)]
    squares = [one["residual_sd"] ** 2 for one in found]
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.01, rel=0.35)


def test_every_seed_is_predicted_from_its_own_members_with_the_noise_of_all() -> None:
    rows = made_rows(3, 0.005)
    found = predict(rows, 3)
    assert list(found["per_seed"]) == ["1", "2", "3"]
    widths = []
    for seed, own in found["per_seed"].items():
        assert own["fitted"] == [f"w{w}-s{seed}" for w in WIDTHS]
        alone = predict([line for line in rows if line["ladder"] == int(seed)], 1)
        alone = alone["pooled"]["prediction"]
        assert own["prediction"]["loss"] == pytest.approx(alone["loss"])
        assert own["alone"] == {"low": alone["low"], "high": alone["high"]}
        widths.append(own["prediction"]["high"] - own["prediction"]["low"])
    # One noise for all: the widths differ by the shapes of the curves only.
    assert max(widths) < 1.5 * min(widths)


def test_a_seed_with_too_few_widths_is_not_predicted() -> None:
    rows = [x for x in made_rows(2, 0.005) if x["ladder"] == 1 or x["width"] > 64]
    assert list(predict(rows, 2)["per_seed"]) == ["1"]


def test_noise_of_one_ladder_keeps_what_the_law_misses() -> None:
    noise = Noise(0.03, 3, within=0.01, between=0.02, runs_per_design=3.0, source="lack_of_fit")
    one = of_one_ladder(noise, 1)
    assert one.target_variance(1) == pytest.approx(noise.target_variance(1)) == pytest.approx(0.03)
    assert one.degrees == 3
    assert dataclasses.replace(one, source="lack_of_fit").between == 0


def test_replicates_halve_the_variance_of_a_ladders_fit() -> None:
    """Two runs of each size, of one noise: the fit's variance halves, the target's stays."""
    single = predict(made_rows(3, 0.005), 3)["per_seed"]["1"]["prediction"]
    rows = made_rows(3, 0.005, replicates=2)
    double = predict(rows, 3, replicates=2)["per_seed"]
    assert double["2"]["fitted"] == [f"w{w}-s{s}" for w in WIDTHS for s in (3, 4)]
    ratio = (double["1"]["prediction"]["high"] - double["1"]["prediction"]["low"]) / (
        single["high"] - single["low"]
    )
    assert 2**-0.5 * 0.8 < ratio < 0.95


@pytest.mark.parametrize("replicates", [1, 2, 5])
def test_noise_of_one_ladder_adds_up(replicates: int) -> None:
    noise = Noise(0.07, 3, within=0.01, between=0.02, runs_per_design=3.0, source="lack_of_fit")
    one = of_one_ladder(noise, replicates)
    assert one.mean_square == pytest.approx(0.01 + 0.02 * replicates)
    assert one.target_variance(1) == pytest.approx(0.03)


FORECAST = {
    "prediction": {"loss": 3.02, "low": 2.98, "high": 3.06},
    "baselines": {"copy_largest": 3.2, "power_law": 2.9},
}


def test_a_good_forecast_passes_every_check() -> None:
    found = compare(FORECAST, actual=3.0, largest=3.2, seed_sd=0.01)
    assert found["error"] == pytest.approx(0.02 / 3)
    assert found["gap"] == pytest.approx(0.2)
    assert found["baselines"]["copy_largest"]["error"] == pytest.approx(0.2 / 3)
    assert set(found["checks"].values()) == {True}


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"largest": 3.07}, {"error at most a quarter of the gap",
                             "interval no wider than the gap"}),
        ({"actual": 3.1, "largest": 4.0}, {"actual inside the interval", "error at most 1 %"}),
        ({"seed_sd": 0.05}, {"gap at least five seed deviations"}),
    ],
)  # fmt: skip
def test_each_check_can_fail(changes: dict[str, float], failing: set[str]) -> None:
    given = {"actual": 3.0, "largest": 3.2, "seed_sd": 0.01} | changes
    checks = compare(FORECAST, **given)["checks"]
    assert {name for name, holds in checks.items() if not holds} == failing


@pytest.mark.parametrize("rival", ["copy_largest", "power_law"])
def test_a_better_baseline_fails_the_forecast(rival: str) -> None:
    better = FORECAST | {"baselines": FORECAST["baselines"] | {rival: 3.01}}
    checks = compare(better, actual=3.0, largest=3.2, seed_sd=0.01)["checks"]
    assert not checks[f"error below {rival.replace('_', ' ')}"]


def test_errors_and_costs() -> None:
    assert relative_error(3.03, 3.0) == pytest.approx(0.01)
    rows = [{"flops": 1.0}, {"flops": 2.0}, {}]
    assert share(rows, [{"flops": 6.0}], "flops") == 0.5
    assert share(rows, [{}], "flops") is None
