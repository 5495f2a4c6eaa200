from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.callbacks.softmax import Language, Text, same, some_batch, train
from tests.callbacks.tiny import QUIET, TOKENS_PER_STEP, make_facts, make_trainer
from tests.model.parts import drawn_gpt
from windtunnel.callbacks.attention_logits import (
    AttentionLogits,
    largest_logits,
    largest_product,
)
from windtunnel.callbacks.record import RecordWriter
from windtunnel.checkpoint import checkpoint_path
from windtunnel.interfaces import Batch
from windtunnel.model.attention import softmax
from windtunnel.model.attention.context import document_mask

pytestmark = QUIET


def made(folder: Path, **changes: Any) -> AttentionLogits:
    settings: dict[str, Any] = {"every": 4, "sequences": 2, "rows": 5}
    return AttentionLogits(make_facts(folder), **(settings | changes))


def text_of(model: Any) -> Text:
    return Text(lambda k: some_batch(k, n=3, length=model.length, vocab=model.vocab_size))


def by_all_scores(monkeypatch: pytest.MonkeyPatch, model: Any, batch: Batch) -> list[float]:
    """What attention itself makes a softmax of, with the pairs it leaves out left out."""
    seen: list[float] = []
    attend = softmax.attend_by_products

    def spy(q: Tensor, k: Tensor, v: Tensor, mask: Any, scale: float) -> Tensor:
        k_all = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        scores = scale * q @ k_all.transpose(-1, -2)
        may = torch.ones(q.shape[2], q.shape[2]).tril().bool() if mask is None else mask
        seen.append(float(scores.masked_fill(~may, 0).abs().max()))
        return attend(q, k, v, mask, scale)

    monkeypatch.setattr(softmax, "attend_by_products", spy)
    with torch.no_grad():
        model(batch.tokens_BT, batch.documents_BT)
    monkeypatch.undo()
    return seen


@pytest.mark.parametrize("rows", [1, 5, 100])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "attention", [{}, {"qk_norm": False, "multiplier": 3.0}, {"queries_per_key": 2}]
)
def test_it_is_the_largest_score_that_attention_sees(
    monkeypatch: pytest.MonkeyPatch, attention: dict[str, Any], masked: bool, rows: int
) -> None:
    model: Any = drawn_gpt(attention=attention)
    batch = some_batch(0, n=2, length=model.length, vocab=model.vocab_size)
    if masked:
        batch = batch._replace(documents_BT=(batch.tokens_BT > 30).long().cumsum(-1))
    found = largest_logits(model, batch, rows)
    expected = by_all_scores(monkeypatch, model, batch)
    assert list(found) == ["0", "1"]
    assert [float(x) for x in found.values()] == pytest.approx(expected, rel=1e-5)
    assert not any(block.attention._forward_pre_hooks for block in model.blocks)


def test_a_pair_that_may_not_look_does_not_count() -> None:
    q, k = torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 4, 2)
    q[0, 0, 0, 0] = k[0, 0, 3, 0] = 100.0  # the first token may not look at the last
    q[0, 0, 2, 1] = 3.0
    k[0, 0, 1, 1] = -2.0
    assert largest_product(q, k, None, rows=3).item() == 6.0
    apart = document_mask(torch.tensor([[0, 0, 1, 1]]))
    assert largest_product(q, k, apart, rows=3).item() == 0.0


def test_it_is_measured_every_so_many_steps_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, model = made(tmp_path), drawn_gpt()
    writer = RecordWriter(make_facts(tmp_path), points=400, sync_steps=3, divergence_margin=9.0)
    trainer = make_trainer([callback, writer], steps=9, enable_checkpointing=False)
    module = Language(model, rate=lambda k: 0.01)
    trainer.fit(module, text_of(model))
    found = writer.finish().measurements["attention_logits"]
    assert found["steps"] == [0, 4, 8]
    assert found["tokens"] == [0, 4 * TOKENS_PER_STEP, 8 * TOKENS_PER_STEP]
    first = Batch(*(None if x is None else x[:2] for x in text_of(model).make(0)))
    expected = by_all_scores(monkeypatch, drawn_gpt(), first)
    assert [values[0] for values in found["blocks"].values()] == pytest.approx(expected, rel=1e-5)
    largest = max(values[-1] for values in found["blocks"].values())
    assert float(trainer.callback_metrics["stability/attention_logit"]) == pytest.approx(largest)
    plain = train(Language(drawn_gpt(), rate=lambda k: 0.01), [], steps=9, data=text_of(model))
    assert same(plain, module)


def test_with_micro_batches_the_first_one_is_measured(tmp_path: Path) -> None:
    callback, model = made(tmp_path), drawn_gpt()
    data = text_of(model)
    data.accumulate = 2
    train(Language(model, rate=lambda k: 0.01), [callback], steps=5, data=data)
    assert callback.steps == [0, 4]


def test_a_resumed_job_measures_on(tmp_path: Path) -> None:
    def run(callback: AttentionLogits, steps: int, **settings: Any) -> Any:
        module = Language(drawn_gpt(), rate=lambda k: 0.01)
        trainer = make_trainer([callback], steps=steps, enable_checkpointing=False)
        trainer.fit(module, text_of(module.objective.model), **settings)
        return trainer

    whole, first, second = made(tmp_path), made(tmp_path), made(tmp_path)
    run(whole, 9)
    run(first, 5).save_checkpoint(checkpoint_path(tmp_path))
    run(second, 9, ckpt_path=checkpoint_path(tmp_path), weights_only=True)
    assert second.measurements == whole.measurements
    assert second.steps == [0, 4, 8]


def test_blocks_without_such_logits_are_left_out(tmp_path: Path) -> None:
    class Other(torch.nn.Module):
        def forward(self, x: Tensor, context: Any) -> Tensor:
            return x

    model: Any = drawn_gpt()
    batch = some_batch(0, n=2, length=model.length, vocab=model.vocab_size)
    model.blocks[0].attention = Other()
    assert list(largest_logits(model, batch, 4)) == ["1"]
    model.blocks[1].attention = Other()
    callback = made(tmp_path)
    train(Language(model, rate=lambda k: 0.01), [callback], steps=2, data=text_of(model))
    assert callback.measurements == {}


@pytest.mark.parametrize("name", ["every", "sequences", "rows"])
def test_a_bad_setting_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"attention_logits\.{name} must be 1 or more, got 0"):
        made(tmp_path, **{name: 0})
