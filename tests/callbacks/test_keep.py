from __future__ import annotations

from pathlib import Path

import pytest

from tests.callbacks.test_checkpoint import at_step, fail
from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel import checkpoint as store
from windtunnel.callbacks.checkpoint import PeriodicCheckpoint
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.keep import KeepCheckpoints
from windtunnel.callbacks.record import RecordWriter

pytestmark = QUIET


def start(facts: JobFacts, module: TinyModule, tokens: list[int], path: Path | None) -> None:
    """A job of 40 steps of 32 tokens, evaluated every 10, from a checkpoint if one is given."""
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    saving = PeriodicCheckpoint(facts, seconds=0.0, sync_steps=3)
    trainer = make_trainer([writer, saving, KeepCheckpoints(facts, tokens=tokens)])
    trainer.fit(module, TinyData(), ckpt_path=path, weights_only=True)


@pytest.mark.parametrize(
    ("tokens", "step"), [(7 * 32, 7), (8 * 32 - 1, 7), (20 * 32, 20), (1280, 40)]
)
def test_a_kept_checkpoint_is_that_of_its_step(tmp_path: Path, tokens: int, step: int) -> None:
    """Between evaluations, inside a step, after an evaluation, and at the end; gone on from, it
    trains the steps that are left as the whole run did."""
    facts, whole = make_facts(tmp_path), TinyModule()
    start(facts, whole, [tokens], None)
    path = store.kept_path(tmp_path, step * 32)
    assert sorted(p.name for p in path.parent.iterdir() if "tokens" in p.name) == [path.name]
    kept = store.read(path)
    assert kept["global_step"] == step
    evaluations = next(v for k, v in kept["callbacks"].items() if k.startswith("RecordWriter"))
    assert evaluations["evaluations"]["tokens"] == [n * 32 for n in (10, 20, 30, 40) if n <= step]
    again = TinyModule()
    start(make_facts(tmp_path / "again"), again, [], path)
    assert again.losses == whole.losses[step:]


def test_a_job_stopped_before_it_kept_its_checkpoint_keeps_it_when_it_goes_on(
    tmp_path: Path,
) -> None:
    """The job's own checkpoint of step 7 is written first, and then the error comes."""
    facts = make_facts(tmp_path)
    with pytest.raises(RuntimeError, match="as the test wants"):
        start(facts, TinyModule(on_step=at_step(7, fail)), [], None)
    assert store.read(facts.checkpoint)["global_step"] == 7
    module = TinyModule()
    start(facts, module, [7 * 32], facts.checkpoint)
    assert store.read(store.kept_path(tmp_path, 7 * 32))["global_step"] == 7
    assert len(module.losses) == 33


@pytest.mark.parametrize("tokens", [31, 0, 41 * 32])
def test_a_moment_outside_of_the_run_is_refused(tmp_path: Path, tokens: int) -> None:
    with pytest.raises(ValueError, match=rf"callbacks\.keep\.tokens must lie .*1280, got {tokens}"):
        KeepCheckpoints(make_facts(tmp_path), tokens=[tokens])
