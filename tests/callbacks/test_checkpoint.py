"""Whenever and however a run is stopped, the resumed one ends as the uninterrupted one does."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel import checkpoint as store
from windtunnel.callbacks.checkpoint import PeriodicCheckpoint
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.throughput import Throughput
from windtunnel.interfaces import Record
from windtunnel.stopping import Stopped

pytestmark = QUIET
NEVER = 1e9


def start(
    facts: JobFacts, module: TinyModule, *, seconds: float = NEVER, accumulate: int = 1
) -> Record:
    """One try at the job: from its checkpoint if there is one, to its record."""
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    saving = PeriodicCheckpoint(facts, seconds=seconds, sync_steps=3)
    trainer = make_trainer(
        [Throughput(facts, warmup_steps=2), writer, saving],
        evaluate_every=10 * accumulate,
        accumulate_grad_batches=accumulate,
    )
    path = store.find(facts.folder)
    trainer.fit(module, TinyData(accumulate), ckpt_path=path, weights_only=True)
    return writer.finish()


def same(resumed: Record, whole: Record) -> bool:
    return (
        resumed.outcome == whole.outcome == "finished"
        and resumed.train_curve == whole.train_curve
        and resumed.eval_curve == whole.eval_curve
        and resumed.evaluation == whole.evaluation
        and resumed.steps == whole.steps
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Record, TinyModule]]:
    found = {}
    for accumulate in (1, 2):
        module = TinyModule()
        facts = make_facts(tmp_path_factory.mktemp("whole"))
        found[accumulate] = start(facts, module, accumulate=accumulate), module
    return found


def at_step(step: int, do: Callable[[], Any]) -> Callable[[TinyModule, int], None]:
    waiting = [True]

    def on_step(module: TinyModule, now: int) -> None:
        if now == step and waiting:
            waiting.clear()
            do()

    return on_step


def fail() -> None:
    raise RuntimeError("as the test wants")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def be_preempted() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


STOPS = {"sigint": (interrupt, 130), "sigterm": (terminate, 75), "sigusr1": (be_preempted, 75)}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", [0, 9, 38])
@pytest.mark.parametrize("stop", STOPS)
def test_stopped_between_steps_resumes_exactly(
    tmp_path: Path, whole: Any, stop: str, step: int, accumulate: int
) -> None:
    facts = make_facts(tmp_path)
    do, code = STOPS[stop]
    with pytest.raises(Stopped) as ended:
        start(facts, TinyModule(on_step=at_step(step, do)), accumulate=accumulate)
    assert ended.value.code == code
    stopped = Record.load(tmp_path)
    assert (stopped.outcome, stopped.outcome_reason) == ("stopped", f"Stopped: {stop.upper()}")
    assert len(stopped.train_curve.values) == stopped.steps == step + 1
    module = TinyModule()
    assert same(start(facts, module, accumulate=accumulate), whole[accumulate][0])
    assert len(module.losses) == (40 - step - 1) * accumulate
    assert torch.equal(next(module.parameters()), next(whole[accumulate][1].parameters()))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def in_evaluation(evaluation: int, at: str | int, do: Callable[[], Any]) -> TinyModule:
    module, waiting = TinyModule(), [True]

    def on_evaluation(module: TinyModule, step: int, place: str | int) -> None:
        if step == evaluation and place == at and waiting:
            waiting.clear()
            do()

    module.on_evaluation = on_evaluation
    return module


@pytest.mark.parametrize("evaluation", [20, 40])
@pytest.mark.parametrize("stop", STOPS)
def test_stopped_in_an_evaluation_ends_it_first(
    tmp_path: Path, whole: Any, stop: str, evaluation: int
) -> None:
    facts = make_facts(tmp_path)
    with pytest.raises(Stopped):
        start(facts, in_evaluation(evaluation, 0, STOPS[stop][0]))
    module = TinyModule()
    assert same(start(facts, module), whole[1][0])
    assert len(module.losses) == 40 - evaluation


@pytest.mark.parametrize("place", ["start", 0, 1, "end"])
@pytest.mark.parametrize(("evaluation", "redone"), [(20, 0), (40, 1)])
def test_evaluation_cut_short_is_repeated(
    tmp_path: Path, whole: Any, evaluation: int, redone: int, place: str | int
) -> None:
    facts = make_facts(tmp_path)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, in_evaluation(evaluation, place, fail), seconds=0.0)
    module = TinyModule()
    assert same(start(facts, module), whole[1][0])
    assert len(module.losses) == 40 - evaluation + redone


def test_error_inside_a_step_leaves_the_checkpoint_before(tmp_path: Path, whole: Any) -> None:
    facts = make_facts(tmp_path)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, TinyModule(on_step=at_step(7, fail)), seconds=0.0)
    assert store.read(facts.checkpoint)["global_step"] == 7
    assert same(start(facts, TinyModule()), whole[1][0])


def test_error_before_the_first_checkpoint_leaves_none(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, TinyModule(on_step=at_step(7, fail)))
    assert store.find(tmp_path) is None


def test_error_between_steps_saves(tmp_path: Path, whole: Any) -> None:
    facts, module = make_facts(tmp_path), TinyModule()
    module.on_train_batch_end = lambda *_: at_step(7, fail)(module, module.global_step)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, module)
    assert store.read(facts.checkpoint)["global_step"] == 7
    assert same(start(facts, TinyModule()), whole[1][0])


def test_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)

    def twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(Stopped):
        start(facts, TinyModule(on_step=at_step(7, twice)))
    assert store.find(tmp_path) is None
    assert Record.load(tmp_path).outcome_reason == "Stopped: SIGINT"


def test_another_signal_while_it_stops_changes_nothing(tmp_path: Path, whole: Any) -> None:
    """As SLURM's, and then the launcher's own."""
    facts = make_facts(tmp_path)

    def both() -> None:
        be_preempted()
        terminate()

    with pytest.raises(Stopped) as ended:
        start(facts, TinyModule(on_step=at_step(7, both)))
    assert str(ended.value) == "SIGUSR1"
    assert store.read(facts.checkpoint)["global_step"] == 8
    assert same(start(facts, TinyModule()), whole[1][0])


@pytest.mark.parametrize("evaluation", [20, 40])
def test_error_between_a_step_and_its_evaluation_does_not_lose_the_evaluation(
    tmp_path: Path, whole: Any, evaluation: int
) -> None:
    facts, module = make_facts(tmp_path), TinyModule()
    module.on_validation_model_eval = lambda: at_step(evaluation, fail)(module, module.global_step)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, module, seconds=0.0)
    assert same(start(facts, TinyModule()), whole[1][0])


def test_generators_go_on_where_they_were(tmp_path: Path) -> None:
    def drawing(stop_at: int | None) -> tuple[TinyModule, list[tuple[float, ...]]]:
        drawn: list[tuple[float, ...]] = []

        def draw(module: TinyModule, step: int) -> None:
            if step == stop_at:
                terminate()
            drawn.append((random.random(), np.random.rand(), float(torch.rand(()))))  # noqa: NPY002

        return TinyModule(on_step=draw), drawn

    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    module, expected = drawing(None)
    start(make_facts(tmp_path / "whole"), module)
    torch.manual_seed(5)
    random.seed(5)
    module, drawn = drawing(12)
    with pytest.raises(Stopped):
        start(make_facts(tmp_path / "cut"), module)
    before, random_state = list(drawn), random.getstate()
    random.seed(77)
    torch.manual_seed(78)
    module, drawn = drawing(None)
    start(make_facts(tmp_path / "cut"), module)
    after = random.Random()
    after.setstate(random_state)
    assert len(before) == 13
    assert len(drawn) == len(expected) - 13
    assert [one[0] for one in drawn] == [after.random() for _ in drawn]


@pytest.mark.parametrize("evaluate_every", [1, 4, 10])
def test_saves_no_more_often_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate_every: int
) -> None:
    facts, saved = make_facts(tmp_path), []
    saving = PeriodicCheckpoint(facts, seconds=10, sync_steps=3)
    trainer = make_trainer([saving], evaluate_every=evaluate_every)
    clock = "windtunnel.callbacks.checkpoint.time.monotonic"
    monkeypatch.setattr(clock, lambda: trainer.global_step)
    monkeypatch.setattr(trainer, "save_checkpoint", lambda path: saved.append(trainer.global_step))
    trainer.fit(TinyModule(), TinyData())
    assert saved == [10, 20, 30, 40, 40]


def test_killed_after_training_and_before_its_record(tmp_path: Path, whole: Any) -> None:
    facts = make_facts(tmp_path)
    start(facts, TinyModule())
    (tmp_path / "record.json").unlink()
    module = TinyModule()
    assert same(start(facts, module), whole[1][0])
    assert module.losses == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise ValueError("could not write the checkpoint")

    monkeypatch.setattr(store, "save_atomic", full)


def test_a_failed_save_while_stopping_does_not_hide_the_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, full_disk: None
) -> None:
    facts, module = make_facts(tmp_path), TinyModule()
    module.on_train_batch_end = lambda *_: at_step(7, fail)(module, module.global_step)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, module)
    assert "could not write the checkpoint" in caplog.text


def test_a_failed_save_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, full_disk: None
) -> None:
    with pytest.raises(ValueError, match="could not write the checkpoint"):
        start(make_facts(tmp_path), TinyModule(), seconds=0.0)
    assert "could not write" not in caplog.text


def test_compiled_and_eager_checkpoints_have_the_same_keys(tmp_path: Path) -> None:
    keys = []
    for compiled in (False, True):
        facts = make_facts(tmp_path / str(compiled))
        facts.folder.mkdir()
        start(facts, TinyModule(compiled=compiled))
        keys.append(list(store.read(facts.checkpoint)["state_dict"]))
    assert keys[0] == keys[1] == ["model.0.weight", "model.1.weight"]
