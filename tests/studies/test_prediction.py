from __future__ import annotations

import json
from pathlib import Path

from windtunnel.studies.prediction import digest, read_prediction, write_prediction

INPUTS = {"law": "power_law_constant", "points": [["w32-s1", 100, 3.0]]}


def test_a_prediction_is_kept_for_the_same_inputs(tmp_path: Path) -> None:
    assert read_prediction(tmp_path, INPUTS) is None
    written = write_prediction(tmp_path / "study", INPUTS, {"pooled": 1})
    assert written["inputs_digest"] == digest(INPUTS)
    assert read_prediction(tmp_path / "study", INPUTS) == written
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["prediction.json"]


def test_other_inputs_give_another_and_the_older_one_stays(tmp_path: Path) -> None:
    older = write_prediction(tmp_path, INPUTS, {"pooled": 1})
    other = INPUTS | {"points": [["w32-s1", 100, 3.1]]}
    assert read_prediction(tmp_path, other) is None
    write_prediction(tmp_path, other, {"pooled": 2})
    kept = json.loads((tmp_path / f"prediction-{older['inputs_digest']}.json").read_text())
    assert kept == older
    found = read_prediction(tmp_path, other)
    assert found is not None
    assert found["pooled"] == 2


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
