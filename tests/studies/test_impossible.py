from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Job, Record
from windtunnel.studies.impossible import Impossible

VARIANTS: dict[str, dict[str, Any]] = {
    "control": {"perturbation": "unchanged"},
    "local": {"perturbation": "shuffle_local", "perturbation.window": 3},
    "even_odd": {"perturbation": "even_odd"},
    "chaos": {"perturbation": "shuffle"},
    "reverse_control": {"perturbation": "reverse_control"},
    "reverse": {"perturbation": "reverse_full"},
}
CHAINS = [["control", "local", "chaos"], ["control", "even_odd", "chaos"],
          ["reverse_control", "reverse"]]  # fmt: skip
TRUTH = {"control": 3.0, "local": 3.2, "even_odd": 3.21, "chaos": 3.8,
         "reverse_control": 3.3, "reverse": 3.25}  # fmt: skip


def made_impossible(**changes: Any) -> Impossible:
    values: dict[str, Any] = {
        "variants": VARIANTS,
        "chains": CHAINS,
        "seeds": 3,
        "level": 0.95,
        "report": Kept(),
    }
    return Impossible(**{**values, **changes})


def made(job: Job, loss: float | None, **changes: Any) -> Record:
    """`tests.made` wants a width."""
    wide = replace(job, overrides={"model.width": 64, **job.overrides})
    return made_record(wide, loss, **changes)


def records_of(study: Impossible, sd: float = 0.002) -> dict[str, Record]:
    draw = random.Random(0)
    found = {}
    for job in study.plan():
        name = job.name.rpartition("-s")[0]
        loss = TRUTH[name] + 0.3 * job.overrides["seed"] + draw.gauss(0, sd)
        found[job.name] = made(job, loss, eval_curve=Curve([10, 20], [loss + 1, loss]))
    return found


def test_every_language_is_learned_with_the_same_seeds(tmp_path: Path) -> None:
    study = made_impossible()
    jobs = study.propose({}, tmp_path)
    assert jobs == study.plan()
    assert len(jobs) == len({job.name for job in jobs}) == 6 * 3
    assert jobs[1].overrides == {**VARIANTS["local"], "seed": 1}
    records = records_of(study)
    assert study.propose(records, tmp_path) == []
    del records["chaos-s2"]
    assert [job.name for job in study.propose(records, tmp_path)] == ["chaos-s2"]


def test_links_are_judged_seed_by_seed(tmp_path: Path) -> None:
    """The seeds differ by more than the languages; their differences do not."""
    result = made_impossible().conclude(records_of(made_impossible()), tmp_path)
    verdicts = {(link["easier"], link["harder"]): link["verdict"] for link in result["links"]}
    assert verdicts == {
        ("control", "local"): "as expected",
        ("local", "chaos"): "as expected",
        ("control", "even_odd"): "as expected",
        ("even_odd", "chaos"): "as expected",
        ("reverse_control", "reverse"): "the other way",
    }
    assert result["links"][0]["difference"]["mean"] == pytest.approx(0.2, abs=0.005)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["warnings"] == []


def test_a_difference_within_the_spread_is_undecided(tmp_path: Path) -> None:
    study = made_impossible(chains=[["local", "even_odd"]])
    result = study.conclude(records_of(study, sd=0.1), tmp_path)
    assert [link["verdict"] for link in result["links"]] == ["undecided"]


def test_languages_have_curves_and_controls(tmp_path: Path) -> None:
    study = made_impossible()
    languages = study.conclude(records_of(study), tmp_path)["languages"]
    assert {name: own["control"] for name, own in languages.items()} == {
        "control": None, "local": "control", "even_odd": "control", "chaos": "control",
        "reverse_control": None, "reverse": "reverse_control",
    }  # fmt: skip
    own = languages["chaos"]
    assert own["above_control"]["mean"] == pytest.approx(0.8, abs=0.01)
    assert own["perplexity"] == pytest.approx(math.exp(own["loss"]))
    assert own["curve"]["tokens"] == [10, 20]
    assert own["curve"]["loss"][1] == pytest.approx(own["loss"]) == pytest.approx(4.4, abs=0.01)
    assert own["curve"]["sd"][1] == pytest.approx(0.3, abs=0.01)
    assert languages["control"]["above_control"] is None


def test_what_did_not_train_is_said(tmp_path: Path) -> None:
    study = made_impossible()
    records = records_of(study)
    for seed in (1, 2, 3):
        job = next(job for job in study.plan() if job.name == f"chaos-s{seed}")
        records[job.name] = made(job, None)
    result = study.conclude(records, tmp_path)
    own = result["languages"]["chaos"]
    assert (own["loss"], own["perplexity"], own["above_control"]) == (None, None, None)
    assert result["warnings"] == [f"chaos-s{s} was left out: diverged at step 7" for s in (1, 2, 3)]
    assert study.conclude({}, tmp_path)["languages"]["control"]["curve"]["loss"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"control": {}}}, "at least 2 variants"),
        ({"variants": {**VARIANTS, "x": {"seed": 3}}}, "seed is set by the study"),
        ({"chains": [["control", "martian"]]}, "got martian"),
        ({"chains": [["control"]]}, "two or more different languages"),
        ({"chains": [["control", "chaos", "control"]]}, "two or more different languages"),
        ({"seeds": 0}, "study.seeds"),
        ({"level": 95}, "study.level"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_impossible(**changes)
