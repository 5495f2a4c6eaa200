from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.callbacks.softmax import Language, Text, loud_batch, same, some_batch, train
from tests.callbacks.tiny import QUIET, make_facts, make_trainer
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.zclip import ZClip, clipped
from windtunnel.checkpoint import checkpoint_path
from windtunnel.interfaces import Batch

pytestmark = QUIET


def made(folder: Path, **changes: Any) -> ZClip:
    settings: dict[str, Any] = {"decay": 0.97, "threshold": 2.5, "warmup_steps": 5}
    return ZClip(make_facts(folder), **(settings | changes))


@pytest.mark.parametrize(
    ("norm", "left"),
    [
        (1.0, 1.0),  # below the mean
        (6.9, 6.9),  # z = 2.45
        (7.0, 7.0),  # z = 2.5: the threshold itself
        (12.0, 2 + 2 * 2.5**2 / 5),  # z = 5
        (1e9, 2.0),  # an outlier without end comes down to the mean
    ],
)
def test_the_farther_out_the_more_is_cut(norm: float, left: float) -> None:
    assert clipped(norm, mean=2.0, sd=2.0, threshold=2.5) == pytest.approx(left, rel=1e-5)


def test_averages_of_a_made_up_series(tmp_path: Path) -> None:
    """By hand: norms 1 and 3 begin (mean 2, variance 1), then 2, then an outlier of 12."""
    callback = made(tmp_path, warmup_steps=2, decay=0.9, threshold=2.0)
    assert [callback.take(norm) for norm in (1.0, 3.0)] == [1.0, 1.0]
    assert (callback.mean, callback.variance) == (2.0, 1.0)
    assert callback.take(2.0) == 1.0
    assert (callback.mean, callback.variance) == pytest.approx((2.0, 0.9))
    z = 10 / 0.9**0.5
    left = 2.0 + 0.9**0.5 * 4 / z
    assert callback.take(12.0) == pytest.approx(left / 12, rel=1e-5)
    mean = 0.9 * 2.0 + 0.1 * left
    assert callback.mean == pytest.approx(mean, rel=1e-5)
    assert callback.variance == pytest.approx(0.81 + 0.1 * (left - mean) ** 2, rel=1e-5)
    averages = callback.mean, callback.variance
    assert callback.take(float("nan")) == callback.take(float("inf")) == 1.0
    assert (callback.mean, callback.variance) == averages


def jumping(step: int) -> Batch:
    return loud_batch(step % 3) if step == 15 else some_batch(step % 3)


def sgd(parameters: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr)


def run(callbacks: list[Any], **settings: Any) -> Language:
    return train(Language(build=sgd, rate=lambda k: 0.5), callbacks, data=Text(jumping), **settings)


def test_one_outlier_is_cut_and_what_is_usual_is_left(tmp_path: Path) -> None:
    plain, callback = run([]), made(tmp_path)
    clipping = run([callback])
    assert [torch.equal(a[0], b[0]) for a, b in zip(plain.weights, clipping.weights, strict=True)][
        :15
    ] == [True] * 15
    assert not torch.equal(plain.weights[15][0], clipping.weights[15][0])
    assert clipping.norms[15] < plain.norms[15]
    found = callback.measurements["zclip"]
    assert found["n_clipped"] >= 1
    assert found["least_kept"] == pytest.approx(clipping.norms[15] / plain.norms[15], rel=1e-5)


def test_a_threshold_that_nothing_reaches_changes_no_bit(tmp_path: Path) -> None:
    callback = made(tmp_path, threshold=1e9)
    assert same(run([]), run([callback]))
    assert callback.measurements == {"zclip": {"n_clipped": 0, "least_kept": 1.0}}


@pytest.mark.parametrize("stop", [3, 14])
def test_a_resumed_job_goes_the_way_of_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    whole = made(tmp_path)
    expected = run([whole])
    trainer = make_trainer([made(tmp_path)], steps=stop, enable_checkpointing=False)
    trainer.fit(Language(build=sgd, rate=lambda k: 0.5), Text(jumping))
    trainer.save_checkpoint(checkpoint_path(tmp_path))
    second = made(tmp_path)
    rest = run([second], ckpt_path=checkpoint_path(tmp_path), weights_only=True)
    assert torch.equal(rest.weights[-1][0], expected.weights[-1][0])
    assert second.measurements == whole.measurements


def test_it_stands_in_the_record_and_in_the_loggers(tmp_path: Path) -> None:
    callback = made(tmp_path)
    writer = RecordWriter(make_facts(tmp_path), points=400, sync_steps=3, divergence_margin=9.0)
    trainer = make_trainer([callback, writer], steps=20, enable_checkpointing=False)
    trainer.fit(Language(build=sgd, rate=lambda k: 0.5), Text(jumping))
    assert writer.finish().measurements["zclip"] == callback.measurements["zclip"]
    assert float(trainer.callback_metrics["stability/norm_kept"]) == pytest.approx(callback.kept)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decay": 1.0}, r"callbacks\.zclip\.decay must lie above 0 and below 1, got 1\.0"),
        ({"threshold": 0.0}, r"callbacks\.zclip\.threshold must be above 0, got 0\.0"),
        ({"warmup_steps": 1}, r"callbacks\.zclip\.warmup_steps must be 2 or more, got 1"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, **changes)
