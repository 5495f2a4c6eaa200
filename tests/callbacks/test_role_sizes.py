from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.callbacks.softmax import Language, Text, same, some_batch, train
from tests.callbacks.tiny import QUIET, TOKENS_PER_STEP, make_facts, make_trainer
from tests.model.parts import drawn_gpt
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.role_sizes import RoleSizes, finite, quotients, root_mean_square
from windtunnel.checkpoint import checkpoint_path

pytestmark = QUIET
EPS = 1e-4


def adamw(parameters: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, eps=EPS)


def made(folder: Path, every: int = 3) -> RoleSizes:
    roles = [{"name": n, "role": p.role.value} for n, p in drawn_gpt().roles().items()]
    return RoleSizes(make_facts(folder, table=roles), every=every)


def text() -> Text:
    return Text(lambda k: some_batch(k, n=3, length=12, vocab=61))


class Watching(Language):
    """Keeps the gradients of every step as the optimiser gets them."""

    def __init__(self) -> None:
        super().__init__(drawn_gpt(), rate=lambda k: 0.01, build=adamw)
        self.names = [name for name, _ in self.objective.model.named_parameters()]
        self.weights.append([p.detach().clone() for p in self.parameters()])
        self.grads: list[list[torch.Tensor]] = []

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters(), 0.5)
        self.grads.append([p.grad.clone() for p in self.parameters() if p.grad is not None])


def rms(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors]).double().square().mean().sqrt())


def test_sizes_by_role_equal_those_of_the_tensors_that_were_kept(tmp_path: Path) -> None:
    callback, module = made(tmp_path), Watching()
    facts = make_facts(tmp_path)
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=9.0)
    settings = {"enable_checkpointing": False, "log_every_n_steps": 7}
    trainer = make_trainer([callback, writer], steps=7, **settings)
    trainer.fit(module, text())
    found = writer.finish().measurements["role_sizes"]
    assert found["steps"] == [1, 4, 7]
    assert found["tokens"] == [step * TOKENS_PER_STEP for step in (1, 4, 7)]
    role_of = {name: place.role.value for name, place in drawn_gpt().roles().items()}
    own_roles = {role_of[name] for name in module.names}
    assert own_roles == {"input", "hidden", "query", "writer", "output", "vector", "outer_vector"}
    for role in own_roles:
        mine = [i for i, name in enumerate(module.names) if role_of[name] == role]
        for at, step in enumerate((0, 3, 6)):
            before, after = module.weights[step], module.weights[step + 1]
            moved = rms([after[i] - before[i] for i in mine]) / rms([before[i] for i in mine])
            assert found["weight"][role][at] == pytest.approx(
                rms([after[i] for i in mine]), rel=1e-5
            )
            assert found["update_to_weight"][role][at] == pytest.approx(moved, rel=1e-4)
            grads = rms([module.grads[step][i] for i in mine]) / EPS
            assert found["gradient_to_eps"][role][at] == pytest.approx(grads, rel=1e-4)
    head = module.names.index("head.weight")
    assert found["head_norm"][-1] == pytest.approx(float(module.weights[-1][head].norm()), rel=1e-5)
    logged = trainer.callback_metrics
    assert float(logged["stability/head_norm"]) == pytest.approx(found["head_norm"][-1])
    for what in ("weight", "update_to_weight", "gradient_to_eps"):
        value = float(logged[f"stability/{what}/hidden"])
        assert value == pytest.approx(found[what]["hidden"][-1])


def test_watching_changes_no_bit(tmp_path: Path) -> None:
    plain, watched = (
        train(Watching(), own, steps=5, data=text()) for own in ([], [made(tmp_path)])
    )
    assert same(plain, watched)


def test_a_resumed_job_measures_on(tmp_path: Path) -> None:
    whole, first, second = (made(tmp_path) for _ in range(3))
    train(Watching(), [whole], steps=8, data=text())
    trainer = make_trainer([first], steps=5, enable_checkpointing=False)
    trainer.fit(Watching(), text())
    trainer.save_checkpoint(checkpoint_path(tmp_path))
    train(Watching(), [second], steps=8, data=text(), ckpt_path=checkpoint_path(tmp_path),
          weights_only=True)  # fmt: skip
    assert second.measurements == whole.measurements
    assert second.steps == [1, 4, 7]


def test_a_step_without_gradients_and_weights_of_zero_leave_gaps(tmp_path: Path) -> None:
    class Skipped(Watching):
        def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
            for p in self.parameters():
                p.grad = None

    callback, module = made(tmp_path, every=1), Skipped()
    torch.nn.init.zeros_(module.objective.model.head.weight)
    train(module, [callback], steps=2, data=text())
    found = callback.measurements["role_sizes"]
    assert found["gradient_to_eps"]["hidden"] == [None, None]
    assert found["update_to_weight"]["hidden"] == [0.0, 0.0]
    assert found["update_to_weight"]["output"] == [None, None]
    assert found["head_norm"] == [0.0, 0.0]


def test_the_small_pieces() -> None:
    assert root_mean_square([torch.tensor([3.0]), torch.tensor([[0.0, 4.0, 5.0]])]) == 50**0.5 / 2
    assert quotients({"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 0.0}) == {"a": 1.5, "b": None}
    assert [finite(x) for x in (1.0, None, float("nan"), float("inf"))] == [1.0, None, None, None]


def test_a_bad_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"role_sizes\.every must be 1 or more, got 0"):
        made(tmp_path, every=0)
