from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.callbacks.softmax import Language, Text, loud_batch, same, some_batch, train
from tests.callbacks.tiny import QUIET, make_facts, make_trainer
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.spikes import Outliers, RollBack, Skip, Spikes
from windtunnel.checkpoint import checkpoint_path
from windtunnel.interfaces import Batch

pytestmark = QUIET
BAD = (12, 13)  # numbers of the batches that stand out


def outliers(**changes: Any) -> Outliers:
    return Outliers(**({"window": 10, "threshold": 6.0, "patience": 4} | changes))


def made(folder: Path, answer: Any, **changes: Any) -> Spikes:
    return Spikes(make_facts(folder), outliers=outliers(**changes), answer=answer)


# ---------------------------------------------------------------------------------- what stands out


def test_a_value_far_above_the_usual_ones_is_a_spike() -> None:
    found = outliers()
    usual = [1.0, 2.0, 1.0, 2.0, 1.0]
    assert not any(found.is_spike(v, 1.0 + v) for v in usual)
    mean, sd = 1.4, math.sqrt(1.2 / 4)
    assert found._stands_out((mean + 6.01 * sd, 1.0))
    assert not found._stands_out((mean + 5.99 * sd, 1.0))
    assert not found._stands_out((-100.0, -100.0))  # a fall is none
    assert found.is_spike(1.0, 1.0 + mean + 6.01 * sd)  # the other value does as well
    assert found.usual[-1] == [1.0, 2.0]  # and is not remembered


def test_nothing_stands_out_before_enough_is_known() -> None:
    found = outliers(window=128)
    for n in range(20):
        assert not found.is_spike(1.0 + n % 2 + 1000 * (n == 19))
    assert outliers().is_spike(math.nan)
    assert outliers().is_spike(1.0, math.inf)


def test_only_the_window_is_remembered() -> None:
    found = outliers(window=4)
    for value in (100.0, 200.0, 1.0, 2.0, 1.0, 2.0):
        found.is_spike(value)
    assert found.usual == [[1.0], [2.0], [1.0], [2.0]]
    assert found.is_spike(100.0)


def test_what_stays_is_usual_after_a_while() -> None:
    found = outliers(patience=4)
    for n in range(10):
        found.is_spike(1.0 + n % 2)
    assert [found.is_spike(50.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert found.usual == [[50.0], [50.0]]
    assert [found.is_spike(math.nan) for _ in range(9)] == [True] * 9  # never usual


# ------------------------------------------------------------------------------------- what is done


def text(bad: tuple[int, ...] = BAD) -> Text:
    def make(k: int) -> Batch:
        return loud_batch(k % 2) if k in bad else some_batch(k % 2)

    return Text(make)


def run(callbacks: list[Any], bad: tuple[int, ...] = BAD, **settings: Any) -> Language:
    module = Language(rate=lambda k: 0.02)
    return train(module, callbacks, data=text(bad), **{"steps": 24} | settings)


def test_a_skipped_batch_leaves_weights_and_moments_alone(tmp_path: Path) -> None:
    callback = made(tmp_path, Skip())
    module = run([callback])
    assert callback.measurements == {
        "spikes": {"answer": "skip", "n": 2, "steps": [13, 14]}}  # fmt: skip
    for k in range(1, 24):
        stood = torch.equal(module.weights[k][0], module.weights[k - 1][0])
        assert stood == (k in BAD)
    # AdamW goes on as if the two had never come.
    without = train(Language(rate=lambda k: 0.02), [], data=text(()), steps=22)
    assert torch.equal(module.weights[-1][0], without.weights[-1][0])


def test_without_a_spike_no_bit_changes(tmp_path: Path) -> None:
    for answer in (Skip(), RollBack(every=5)):
        callback = made(tmp_path, answer)
        assert same(run([], bad=()), run([callback], bad=()))
        assert callback.n == 0


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_roll_back_restores_the_older_copy_to_the_bit(tmp_path: Path, accumulate: int) -> None:
    """Copies are taken before steps 0, 5, 10 and 15: at step 12 the one of step 5 is put back."""
    data = text(tuple(accumulate * 12 + i for i in range(accumulate)))
    data.accumulate = accumulate
    callback = made(tmp_path, RollBack(every=5))
    module = train(Language(rate=lambda k: 0.02), [callback], data=data, steps=13)
    assert callback.steps == [13]
    after_step = [own[0] for own in module.weights[accumulate - 1 :: accumulate]]
    assert torch.equal(after_step[12], after_step[4])
    assert not torch.equal(after_step[12], after_step[11])


def test_the_optimiser_goes_back_as_well(tmp_path: Path) -> None:
    """From step 14 on it does what a run does that saw five batches and then these."""
    callback = made(tmp_path, RollBack(every=5))
    module = run([callback], bad=(13,), steps=20)
    assert callback.steps == [14]
    fresh = train(Language(rate=lambda k: 0.02), [], data=text(()), steps=5)
    other = Language(rate=lambda k: 0.02)
    again = Text(lambda k: some_batch((k if k < 5 else k + 9) % 2))
    train(other, [], data=again, steps=11)
    assert torch.equal(fresh.weights[4][0], module.weights[13][0])
    assert torch.equal(other.weights[10][0], module.weights[19][0])


def test_a_rate_a_thousand_times_too_high_is_rolled_back(tmp_path: Path) -> None:
    def rate(k: int) -> float:
        return -20.0 if 12 <= k < 15 else 0.02  # and uphill, since this model is hard to harm

    data = [text(()), text(())]
    free = train(Language(rate=rate), [], data=data[0], steps=40)
    callback = made(tmp_path, RollBack(every=5))
    held = train(Language(rate=rate), [callback], data=data[1], steps=40)
    assert callback.n >= 1
    assert held.losses[-1] < held.losses[0] < free.losses[20]


@pytest.mark.parametrize("answer", ["skip", "roll_back"])
@pytest.mark.parametrize("stop", [4, 11, 13])
def test_a_resumed_job_goes_the_way_of_an_uninterrupted_one(
    tmp_path: Path, answer: str, stop: int
) -> None:
    def make() -> Spikes:
        return made(tmp_path, Skip() if answer == "skip" else RollBack(every=5))

    whole = make()
    expected = run([whole])
    trainer = make_trainer([make()], steps=stop, enable_checkpointing=False)
    trainer.fit(Language(rate=lambda k: 0.02), text())
    trainer.save_checkpoint(checkpoint_path(tmp_path))
    second = make()
    rest = run([second], ckpt_path=checkpoint_path(tmp_path), weights_only=True)
    assert torch.equal(rest.weights[-1][0], expected.weights[-1][0])
    assert second.measurements == whole.measurements
    assert whole.n >= 2


def test_a_copy_is_not_the_state_that_trains_on(tmp_path: Path) -> None:
    answer = RollBack(every=100)
    module, callback = Language(rate=lambda k: 0.02), None
    callback = made(tmp_path, answer)
    train(module, [callback], data=text((7, 9)), steps=12)
    assert callback.steps == [8, 10]
    first = answer.copies[0]["model"]["objective.model.head.weight"]
    assert torch.equal(module.weights[7][0], first)
    assert torch.equal(module.weights[9][0], first)
    assert not torch.equal(module.weights[8][0], first)


def test_they_stand_in_the_record_and_in_the_loggers(tmp_path: Path) -> None:
    callback = made(tmp_path, Skip())
    writer = RecordWriter(make_facts(tmp_path), points=400, sync_steps=3, divergence_margin=9.0)
    trainer = make_trainer([callback, writer], steps=20, enable_checkpointing=False)
    trainer.fit(Language(rate=lambda k: 0.02), text())
    assert writer.finish().measurements["spikes"]["n"] == 2
    assert float(trainer.callback_metrics["stability/spikes"]) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": 1}, r"window >= 2, threshold > 0 and patience >= 1, got 1, 6\.0 and 4"),
        ({"threshold": 0.0}, r"got 10, 0\.0 and 4"),
        ({"patience": 0}, r"got 10, 6\.0 and 0"),
    ],
)
def test_a_bad_setting_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        outliers(**changes)


def test_a_span_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answer\.every must be 1 or more, got 0"):
        RollBack(every=0)
