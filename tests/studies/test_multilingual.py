from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from tests.studies.mixed import TOKENS, trained
from windtunnel.interfaces import Record
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.sampling_ratio import Ratio
from windtunnel.studies.multilingual import Multilingual, best_shares, predicted

GAMMA = {"code": 0.05, "news": 0.1, "talk": 0.2, "wiki": 0.08}
ALONE = {"code": 2.0, "news": 2.5, "talk": 1.5, "wiki": 3.0}


def languages(weights: Mapping[str, float], width: int) -> dict[str, float]:
    """The law, with a gamma that does not depend on the width."""
    return {
        name: (ALONE[name] + 4 / width) * max(weights.get(name, 0.0), 1e-3) ** -GAMMA[name]
        for name in TOKENS
    }


def made_study(**changes: Any) -> Multilingual:
    values: dict[str, Any] = {
        "ratios": 20,
        "draw": Draw(low=2.0, high=20.0, steps=5, temper=0.3),
        "draw_seed": 0,
        "least_share": 0.02,
        "alphas": [1.0, 0.3],
        "unimax_epochs": 4.0,
        "width": 16,
        "tokens": 100_000,
        "check_width": 64,
        "check_tokens": 400_000,
        "seeds": 3,
        "level": 0.9,
        "report": Kept(),
    }
    return Multilingual(**(values | changes))


def run(
    study: Multilingual, folder: Path, sd: float = 0.004
) -> tuple[dict[str, Any], dict[str, Record]]:
    records: dict[str, Record] = {}
    while batch := list(study.propose(records, folder)):
        records |= {job.name: trained(job, languages, sd) for job in batch}
    return study.conclude(records, folder), records


def test_the_laws_are_recovered_and_their_shares_win(tmp_path: Path) -> None:
    result, _ = run(made_study(), tmp_path)
    assert {n: own["gamma"] for n, own in result["laws"].items()} == pytest.approx(GAMMA, abs=6e-3)
    small = {name: loss + 4 / 16 for name, loss in ALONE.items()}
    assert {n: own["alone"] for n, own in result["laws"].items()} == pytest.approx(small, rel=0.02)
    arms = result["arms"]
    assert list(arms) == ["optimal", "alpha_1", "alpha_0.3", "unimax"]
    assert arms["optimal"]["predicted"] < min(
        own["predicted"] for name, own in arms.items() if name != "optimal"
    )
    assert result["against"]["alpha_1"]["high"] < 0
    assert arms["unimax"]["shares"] == pytest.approx(dict.fromkeys(TOKENS, 0.25))
    assert arms["unimax"]["epochs"]["wiki"] == pytest.approx(2.0)
    assert result["predicted_before_check"]
    assert result["warnings"] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))


def test_no_other_shares_have_a_lower_mean() -> None:
    laws = {n: Ratio(GAMMA[n], 0.0, 1.0, ALONE[n], 0.0) for n in TOKENS}
    best = best_shares(laws)
    lowest = predicted(laws, best)
    assert lowest is not None
    for name in TOKENS:
        for other in set(TOKENS) - {name}:
            moved = best | {name: best[name] + 0.01, other: best[other] - 0.01}
            mean = predicted(laws, moved)
            assert mean is not None
            assert mean > lowest
    assert predicted(laws, best | {"wiki": 0.0}) is None


def test_the_prediction_comes_before_the_check_and_what_is_planned_is_proposed(
    tmp_path: Path,
) -> None:
    study = made_study()
    assert [job.name for job in study.propose({}, tmp_path)] == ["ratio-000"]
    records = {"ratio-000": trained(study.natural(), languages)}
    second = study.propose(records, tmp_path)
    assert len(second) == 20
    assert not (tmp_path / "prediction.json").exists()
    records |= {job.name: trained(job, languages, 0.004) for job in second}
    third = study.propose(records, tmp_path)
    written = json.loads((tmp_path / "prediction.json").read_text())
    assert written["before_check"]
    optimal = [job for job in third if job.role == "optimal"]
    assert optimal[0].overrides["sampler.mixture.weights"] == written["optimal"]
    samplers = {job.role: job.overrides["sampler"] for job in third}
    assert samplers == {
        "optimal": "mixture", "alpha_1": "temperature", "alpha_0.3": "temperature",
        "unimax": "unimax",
    }  # fmt: skip
    planned = {job.name: job for job in study.plan()}
    assert set(planned) == {"ratio-000", *(job.name for job in (*second, *third))}
    for job in (*second, *third):
        own = planned[job.name].overrides
        assert own == {key: job.overrides[key] for key in own}


def test_a_language_that_sampling_does_not_help_is_said(tmp_path: Path) -> None:
    def deaf(weights: Mapping[str, float], width: int) -> dict[str, float]:
        return languages(weights, width) | {"wiki": 3 + weights.get("wiki", 0.0)}

    study, records = made_study(), {}
    while batch := study.propose(records, tmp_path):
        records |= {job.name: trained(job, deaf) for job in batch}
    result = study.conclude(records, tmp_path)
    assert any(words.startswith("wiki: its loss does not fall") for words in result["warnings"])
    assert result["arms"]["optimal"]["shares"]["wiki"] < 0.05


def test_a_late_prediction_says_so(tmp_path: Path) -> None:
    study = made_study()
    _, records = run(study, tmp_path)
    (tmp_path / "prediction.json").unlink()
    result = study.conclude(records, tmp_path)
    assert any("already trained" in words for words in result["warnings"])


def test_too_few_ratios_leave_nothing_to_predict(tmp_path: Path) -> None:
    study = made_study()
    _, records = run(study, tmp_path)
    jobs = {job.name: job for job in study.plan()}
    lost = {
        name: made_record(jobs[name], None, data=records[name].data)
        for name in (f"ratio-{i:03d}" for i in range(1, 19))
    }
    result = study.conclude(records | lost, tmp_path)
    assert result["arms"] == {}
    assert any("nothing was predicted" in words for words in result["warnings"])
    small = {name: r for name, r in (records | lost).items() if name.startswith("ratio")}
    assert study.propose(small, tmp_path) == []
    assert study.conclude({}, tmp_path)["tokens"] == {}


def test_one_language_is_refused(tmp_path: Path) -> None:
    study = made_study()
    record = trained(study.natural(), languages)
    alone = dataclasses.replace(record, data={"domains": {"code": {"train_tokens": 5}}})
    with pytest.raises(ValueError, match=r"data: expected at least two languages.*got code"):
        study.propose({"ratio-000": alone}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratios": 3}, r"study\.ratios: expected at least 4"),
        ({"least_share": 0.0}, r"study\.least_share: expected between 0 and 1, got 0\.0"),
        ({"alphas": [1.0, 1.0]}, r"study\.alphas must hold different powers"),
        ({"alphas": [-1.0]}, r"study\.alphas must hold different powers from 0 up"),
        ({"check_width": 16}, r"study\.check_width must lie beyond study\.width=16; got 16"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"level": 1.0}, r"study\.level"),
    ],
)
def test_what_could_not_be_compared_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made_study(**changes)
