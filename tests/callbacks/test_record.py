from __future__ import annotations

import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import windtunnel
from tests.callbacks.tiny import (
    QUIET,
    TOKENS_PER_STEP,
    TinyData,
    TinyModule,
    make_facts,
    make_trainer,
)
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.throughput import Throughput
from windtunnel.interfaces import Curve, Evaluation, Record

pytestmark = QUIET
SCHEMA = json.loads((Path(windtunnel.__file__).parent / "record.schema.json").read_text())


def train(
    folder: Path, module: TinyModule, *, accumulate: int = 1, sync_steps: int = 3, **changes: Any
) -> tuple[RecordWriter, Record]:
    facts = make_facts(folder, **changes)
    writer = RecordWriter(facts, points=400, sync_steps=sync_steps, divergence_margin=0.5)
    callbacks = [Throughput(facts, warmup_steps=2), writer]
    trainer = make_trainer(
        callbacks,
        evaluate_every=10 * accumulate,
        accumulate_grad_batches=accumulate,
        enable_checkpointing=False,
    )
    trainer.fit(module, TinyData(accumulate))
    return writer, writer.finish()


def test_record_holds_what_happened(tmp_path: Path) -> None:
    module = TinyModule()
    _, record = train(tmp_path, module)
    assert (record.outcome, record.outcome_step, record.outcome_reason) == ("finished", 40, "")
    assert (record.tokens, record.steps) == (40 * TOKENS_PER_STEP, 40)
    assert record.train_curve.tokens == [TOKENS_PER_STEP * i for i in range(1, 41)]
    assert record.train_curve.values == pytest.approx(module.losses, rel=1e-6)
    assert record.eval_curve.tokens == [TOKENS_PER_STEP * i for i in (10, 20, 30, 40)]
    assert record.evaluation == module.evaluation
    assert record.eval_curve.values[-1] == record.evaluation.loss_nats
    assert record.grad_norm_curve.tokens[-1] == 40 * TOKENS_PER_STEP
    assert set(record.grad_norm_curve.values) == {1.0}
    assert record.train_flops == {"kaplan": 72.0 * record.tokens, "palm": 96.0 * record.tokens}
    assert record.tokens_per_second > 0
    assert record.seconds > 0
    assert record.peak_memory_bytes > 1 << 20
    assert record.mfu is None
    assert Record.load(tmp_path) == record


def test_accumulated_loss_is_the_mean_over_micro_batches(tmp_path: Path) -> None:
    module = TinyModule()
    _, record = train(tmp_path, module, accumulate=2)
    pairs = zip(module.losses[::2], module.losses[1::2], strict=True)
    assert record.train_curve.values == pytest.approx([(a + b) / 2 for a, b in pairs], rel=1e-6)
    assert record.steps == 40


def test_long_curves_are_thinned(tmp_path: Path) -> None:
    module, facts = TinyModule(), make_facts(tmp_path)
    writer = RecordWriter(facts, points=7, sync_steps=3, divergence_margin=0.5)
    trainer = make_trainer([writer], enable_checkpointing=False)
    trainer.fit(module, TinyData())
    curve = writer.finish().train_curve
    assert curve.tokens[-1] == 40 * TOKENS_PER_STEP
    assert len(curve.tokens) == 7
    assert curve.values[0] == pytest.approx(sum(module.losses[:6]) / 6, rel=1e-6)


def test_loss_is_read_only_every_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0
    tolist = torch.Tensor.tolist

    def count(self: torch.Tensor) -> Any:
        nonlocal readings
        readings += 1
        return tolist(self)

    monkeypatch.setattr(torch.Tensor, "tolist", count)
    facts = make_facts(tmp_path)
    writer = RecordWriter(facts, points=400, sync_steps=20, divergence_margin=0.5)
    make_trainer([writer], evaluate_every=40, enable_checkpointing=False).fit(
        TinyModule(), TinyData()
    )
    assert readings == 2


def break_weights(at: int) -> Any:
    def on_step(module: TinyModule, step: int) -> None:
        if step == at:
            with torch.no_grad():
                next(module.parameters()).fill_(math.nan)

    return on_step


def test_non_finite_loss_stops_training_and_names_the_step(tmp_path: Path) -> None:
    module = TinyModule(on_step=break_weights(at=6))
    _, record = train(tmp_path, module)
    assert (record.outcome, record.outcome_step) == ("diverged", 7)
    assert record.outcome_reason == "the training loss is not finite at step 7"
    assert len(module.losses) == 9  # the reading after step 9 stopped it
    assert len(record.train_curve.values) == 6
    assert record.tokens == 7 * TOKENS_PER_STEP
    assert record.evaluation is None
    json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)


def test_non_finite_evaluation_is_divergence(tmp_path: Path) -> None:
    module = TinyModule()
    module.on_evaluation = lambda m, step, i: break_weights(at=20)(m, step)
    _, record = train(tmp_path, module)
    assert (record.outcome, record.outcome_step) == ("diverged", 20)
    assert record.outcome_reason == "the held-out loss is not finite at step 20"
    assert record.eval_curve.tokens == [10 * TOKENS_PER_STEP]


def test_loss_that_ends_above_its_start_is_divergence(tmp_path: Path) -> None:
    module = TinyModule(lr=30.0)
    _, record = train(tmp_path, module)
    assert record.outcome == "diverged"
    assert "nats above the first one" in record.outcome_reason
    assert record.steps == 40


def test_exception_leaves_a_record_that_says_stopped(tmp_path: Path) -> None:
    def fail(module: TinyModule, step: int) -> None:
        if step == 5:
            raise RuntimeError("out of something")

    with pytest.raises(RuntimeError, match="out of something"):
        train(tmp_path, TinyModule(on_step=fail))
    record = Record.load(tmp_path)
    assert (record.outcome, record.outcome_step) == ("stopped", 5)
    assert record.outcome_reason == "RuntimeError: out of something"
    assert len(record.train_curve.values) == 5


def test_measurements_and_warnings_of_other_callbacks_are_kept(tmp_path: Path) -> None:
    facts = make_facts(tmp_path, warnings=["compiled without"])
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    other: Any = Throughput(facts, warmup_steps=2)
    other.measurements, other.warnings = {"sizes": {"a": 1.0}}, ["no peak"]
    make_trainer([other, writer], enable_checkpointing=False).fit(TinyModule(), TinyData())
    record = writer.finish()
    assert record.measurements == {"sizes": {"a": 1.0}}
    assert record.warnings == ["compiled without", "no peak"]


def test_state_is_plain_and_complete(tmp_path: Path) -> None:
    writer, record = train(tmp_path, TinyModule())
    writer.diverged = (9, "as the test wants")
    state = writer.state_dict()
    again = RecordWriter(writer.facts, points=400, sync_steps=3, divergence_margin=0.5)
    again.load_state_dict(json.loads(json.dumps(state)))
    assert (again.first_loss, again.step) == (record.train_curve.values[0], 40)
    assert (again.train, again.grad_norm) == (writer.train, writer.grad_norm)
    assert (again.evaluations, again.evaluation) == (record.eval_curve, record.evaluation)
    assert (again.seconds, again.peak_memory_bytes) == (
        state["seconds"],
        state["peak_memory_bytes"],
    )
    assert again.finish().outcome_reason == "as the test wants"


# -------------------------------------------------------------------------------------- the schema


def test_real_records_satisfy_the_schema(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    train(tmp_path, TinyModule())
    written = json.loads((tmp_path / "record.json").read_text())
    jsonschema.validate(written, SCHEMA)
    jsonschema.validate({**written, "evaluation": None, "mfu": 0.4}, SCHEMA)
    for wrong in ({"outcome": "gone"}, {"steps": 1.5}, {"other": 1}, {"train_curve": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**written, **wrong}, SCHEMA)


JSON_TYPES = {
    str: "string", int: "integer", float: "number", dict: "object", list: "array",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (Record, SCHEMA),
        (Curve, SCHEMA["$defs"]["curve"]),
        (Evaluation, SCHEMA["$defs"]["evaluation"]),
    ],
)
def test_schema_and_dataclass_agree(kind: type, schema: dict[str, Any]) -> None:
    hints = typing.get_type_hints(kind)
    assert set(hints) == set(schema["properties"]) == set(schema["required"])
    assert schema["additionalProperties"] is False
    for field in dataclasses.fields(kind):
        told, hint = schema["properties"][field.name], hints[field.name]
        if field.name == "schema_version":
            assert told == {"const": windtunnel.interfaces.RECORD_SCHEMA_VERSION}
        elif hint is Curve:
            assert told["$ref"] == "#/$defs/curve"
        elif field.name == "evaluation":
            assert told["anyOf"] == [{"type": "null"}, {"$ref": "#/$defs/evaluation"}]
        elif typing.get_origin(hint) is typing.Literal:
            assert told["enum"] == list(typing.get_args(hint))
        elif field.name == "mfu":
            assert told["type"] == ["number", "null"]
        else:
            assert told["type"] == JSON_TYPES[typing.get_origin(hint) or hint], field.name
