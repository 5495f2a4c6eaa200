from __future__ import annotations

from pathlib import Path

import pytest

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel import checkpoint as store
from windtunnel.callbacks.checkpoint import PeriodicCheckpoint
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.keep import KeepCheckpoints
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.stop_at import StopAt
from windtunnel.interfaces import Record

pytestmark = QUIET


def start(facts: JobFacts, module: TinyModule, tokens: int | None, path: Path | None) -> Record:
    """A job of 40 steps of 32 tokens, evaluated every 10, ended earlier."""
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    saving = PeriodicCheckpoint(facts, seconds=1e9, sync_steps=3)
    keep = KeepCheckpoints(facts, tokens=[] if tokens is None else [tokens])
    trainer = make_trainer([writer, saving, StopAt(facts, tokens=tokens), keep])
    trainer.fit(module, TinyData(), ckpt_path=path, weights_only=True)
    return writer.finish()


@pytest.mark.parametrize("step", [7, 20, 40])
def test_a_stopped_run_is_evaluated_and_another_goes_on_from_it(tmp_path: Path, step: int) -> None:
    whole_module, module, rest_module = TinyModule(), TinyModule(), TinyModule()
    whole = start(make_facts(tmp_path / "whole"), whole_module, None, None)
    stopped = start(make_facts(tmp_path / "stopped"), module, step * 32 + 31, None)
    assert (stopped.outcome, stopped.steps) == ("finished", step)
    assert module.losses == whole_module.losses[:step]
    assert stopped.eval_curve.tokens == sorted({*range(320, step * 32 + 1, 320), step * 32})
    path = store.kept_path(tmp_path / "stopped", step * 32)
    rest = start(make_facts(tmp_path / "rest"), rest_module, None, path)
    assert module.losses + rest_module.losses == whole_module.losses
    assert rest.evaluation == whole.evaluation
    assert rest.train_curve == whole.train_curve
    own = dict(zip(rest.eval_curve.tokens, rest.eval_curve.values, strict=True))
    for tokens, value in zip(whole.eval_curve.tokens, whole.eval_curve.values, strict=True):
        assert own[tokens] == value


@pytest.mark.parametrize("tokens", [31, 41 * 32])
def test_an_end_outside_of_the_run_is_refused(tmp_path: Path, tokens: int) -> None:
    with pytest.raises(ValueError, match=rf"callbacks\.stop\.tokens must lie .*1280, got {tokens}"):
        StopAt(make_facts(tmp_path), tokens=tokens)
