from __future__ import annotations

import cmath
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.callbacks.softmax import Language, Rows, Text, same, some_batch, train
from tests.callbacks.tiny import QUIET, TOKENS_PER_STEP, make_facts, make_trainer
from windtunnel.callbacks.radius import Radius, relative_size, shorten
from windtunnel.callbacks.record import RecordWriter
from windtunnel.checkpoint import checkpoint_path
from windtunnel.interfaces import IGNORE_INDEX

pytestmark = QUIET


def made(folder: Path, **changes: Any) -> Radius:
    settings: dict[str, Any] = {"every": 1, "limit": None, "chunk": 4, "points": 100}
    return Radius(make_facts(folder), **(settings | changes))


def r_of_a_step(module: Language, k: int) -> float:
    """r of step k of the linear model, whose slopes are dW h."""
    before = Rows().head.weight.detach() if k == 0 else module.weights[k - 1][0]
    step = module.weights[k][0] - before
    batch = some_batch(k)
    slopes = Rows().table[batch.tokens_BT[batch.targets_BT != IGNORE_INDEX]] @ step.T
    return float((slopes.amax(-1) - slopes.amin(-1)).max()) / math.pi


def test_the_radius_reaches_no_zero_of_the_partition_function() -> None:
    """Of two logits that differ by delta and whose slopes differ by the spread, in closed form."""
    delta, spread = 2.0, 1.5
    nearest = (-delta + 1j * math.pi) / spread
    assert abs(1 + cmath.exp(delta + spread * nearest)) < 1e-12
    exact = math.hypot(delta, math.pi) / spread
    assert abs(nearest) == pytest.approx(exact) == pytest.approx(2.482795, abs=1e-6)
    assert 1 / relative_size(1.0, spread) == pytest.approx(2.094395, abs=1e-6)
    assert 1 / relative_size(1.0, spread) < exact


def test_every_step_of_a_linear_model_is_measured_in_closed_form(tmp_path: Path) -> None:
    callback = made(tmp_path)
    module = train(Language(), [callback], steps=12)
    found = callback.measurements["radius"]
    expected = [r_of_a_step(module, k) for k in range(12)]
    assert found["curve"]["values"] == pytest.approx(expected, rel=1e-4)
    assert found["curve"]["tokens"] == [(k + 1) * TOKENS_PER_STEP for k in range(12)]
    assert found["largest_r"] == pytest.approx(max(expected), rel=1e-4)
    assert found["largest_step"] == 1 + expected.index(max(expected))
    assert (found["n_measured"], found["n_limited"]) == (12, 0)


@pytest.mark.parametrize("limit", [None, 1e9])
@pytest.mark.parametrize("every", [1, 3])
def test_watching_changes_no_bit(tmp_path: Path, limit: float | None, every: int) -> None:
    plain = train(Language(), [])
    callback = made(tmp_path, limit=limit, every=every)
    watched = train(Language(), [callback])
    assert same(plain, watched)
    assert callback.measurements["radius"]["n_measured"] == math.ceil(20 / every)


def spike(step: int) -> float:
    return 100.0 if step == 7 else 0.01


@pytest.mark.parametrize("every", [1, 5])
def test_no_step_goes_beyond_the_limit_and_its_direction_is_kept(
    tmp_path: Path, every: int
) -> None:
    """Between two measurements too: step 7 is none that `every` would have measured."""
    free = train(Language(rate=spike), [])
    callback = made(tmp_path, limit=0.5, every=every)
    held = train(Language(rate=spike), [callback])
    assert r_of_a_step(free, 7) > 100
    assert r_of_a_step(held, 7) == pytest.approx(0.5, rel=1e-3)
    for k in (0, 6):
        assert torch.equal(free.weights[k][0], held.weights[k][0])
    steps = [own.weights[7][0] - own.weights[6][0] for own in (free, held)]
    across = torch.nn.functional.cosine_similarity(*(s.flatten() for s in steps), dim=0)
    assert across.item() == pytest.approx(1.0, abs=1e-6)
    found = callback.measurements["radius"]
    assert found["n_limited"] == 1
    assert found["largest_step"] == 8
    assert found["largest_r"] == pytest.approx(r_of_a_step(free, 7), rel=1e-4)
    assert max(held.losses[8:]) < 5 < max(free.losses[8:])


def test_the_step_is_that_of_a_lower_rate_with_its_decay(tmp_path: Path) -> None:
    """AdamW whose one step is shortened equals AdamW at the share of the rate."""

    def build(parameters: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.5)

    held = train(Language(rate=lambda k: 3.0, build=build), [made(tmp_path, limit=0.1)], steps=1)
    free = train(Language(rate=lambda k: 3.0, build=build), [], steps=1)
    share = 0.1 / r_of_a_step(free, 0)
    assert share < 0.5
    lower = train(Language(rate=lambda k: 3.0 * share, build=build), [], steps=1)
    assert torch.allclose(held.weights[0][0], lower.weights[0][0], atol=1e-5)


def test_a_step_that_is_not_finite_is_not_taken(tmp_path: Path) -> None:
    callback = made(tmp_path, limit=1.0)
    module = train(Language(rate=lambda k: math.inf if k == 3 else 0.01), [callback], steps=4)
    assert torch.equal(module.weights[3][0], module.weights[2][0])
    assert callback.measurements["radius"]["n_limited"] == 1
    json.dumps(callback.measurements, allow_nan=False)


def test_with_micro_batches_a_step_is_measured_once_on_the_last_one(tmp_path: Path) -> None:
    callback = made(tmp_path)
    module = train(Language(), [callback], steps=4, data=Text(accumulate=2))
    found = callback.measurements["radius"]
    assert found["n_measured"] == 4
    step = module.weights[3][0] - module.weights[1][0]
    batch = some_batch(3)
    slopes = Rows().table[batch.tokens_BT[batch.targets_BT != IGNORE_INDEX]] @ step.T
    expected = float((slopes.amax(-1) - slopes.amin(-1)).max()) / math.pi
    assert found["curve"]["values"][1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("limit", [None, 0.05])
def test_a_resumed_job_goes_the_way_of_an_uninterrupted_one(
    tmp_path: Path, limit: float | None
) -> None:
    whole = made(tmp_path, limit=limit, every=4)
    expected = train(Language(), [whole], steps=20)
    trainer = make_trainer([made(tmp_path, limit=limit, every=4)], steps=9,
                           enable_checkpointing=False)  # fmt: skip
    first = Language()
    trainer.fit(first, Text())
    trainer.save_checkpoint(checkpoint_path(tmp_path))
    second, rest = made(tmp_path, limit=limit, every=4), Language()
    train(rest, [second], ckpt_path=checkpoint_path(tmp_path), weights_only=True)
    assert torch.equal(rest.weights[-1][0], expected.weights[-1][0])
    assert second.measurements == whole.measurements


def test_it_stands_in_the_record_and_in_the_loggers(tmp_path: Path) -> None:
    callback = made(tmp_path)
    writer = RecordWriter(make_facts(tmp_path), points=400, sync_steps=3, divergence_margin=9.0)
    trainer = make_trainer([callback, writer], steps=10, enable_checkpointing=False)
    trainer.fit(Language(), Text())
    assert writer.finish().measurements["radius"]["n_measured"] == 10
    assert float(trainer.callback_metrics["stability/r"]) == pytest.approx(callback.r, rel=1e-6)


def test_a_share_of_a_step_is_left_in_place() -> None:
    w, b = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0])
    shorten([w], [b], 0.5)
    assert w.tolist() == [2.0, 3.0]
    shorten([w], [b], 0.0)
    assert torch.equal(w, b)


class Gridded(torch.optim.SGD):
    grid = "int4"


def test_weights_on_a_grid_are_watched_and_not_limited(tmp_path: Path) -> None:
    train(Language(build=Gridded), [made(tmp_path)], steps=1)
    with pytest.raises(ValueError, match=r"lie on a grid.*set callbacks\.radius\.limit=null"):
        train(Language(build=Gridded), [made(tmp_path, limit=1.0)], steps=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"every": 0}, r"callbacks\.radius\.every must be 1 or more, got 0"),
        ({"chunk": 0}, r"callbacks\.radius\.chunk must be 1 or more, got 0"),
        ({"points": 0}, r"callbacks\.radius\.points must be 1 or more, got 0"),
        ({"limit": 0.0}, r"callbacks\.radius\.limit must be above 0, got 0\.0"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, **changes)
