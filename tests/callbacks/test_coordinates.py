from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel.callbacks.coordinates import Coordinates
from windtunnel.callbacks.record import RecordWriter

pytestmark = QUIET


class Stack(nn.Module):
    """Shaped as a GPT is: an embedding that is no module of its own, blocks, a norm, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.eye(4))
        self.blocks = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(2))
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.embedding
        for block in self.blocks:
            x = block(x)
        return 2 * x


class Objective(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Stack()

    def forward(self, x: Tensor) -> Tensor:
        return self.model.head(self.model(x))


class StackModule(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.objective = Objective()
        self.model = nn.Sequential(self.objective, nn.Linear(3, 4, bias=False))
        self.expected: dict[int, dict[str, float]] = {}

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        stack = self.objective.model
        with torch.no_grad():
            x0 = batch @ stack.embedding
            x1 = x0 @ stack.blocks[0].weight.T
            x2 = x1 @ stack.blocks[1].weight.T
            logits = 2 * x2 @ stack.head.weight.T
        sizes = {"embedding": x0, "blocks.0": x1, "blocks.1": x2, "logits": logits}
        found = {name: float(x.abs().mean()) for name, x in sizes.items()}
        self.expected.setdefault(self.global_step, found)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_sizes_are_those_before_the_update_of_the_step(tmp_path: Path, accumulate: int) -> None:
    facts, module = make_facts(tmp_path), StackModule()
    coordinates = Coordinates(facts, steps=[0, 1, 4, 1000])
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    trainer = make_trainer(
        [coordinates, writer],
        steps=6,
        evaluate_every=2 * accumulate,
        accumulate_grad_batches=accumulate,
        enable_checkpointing=False,
    )
    trainer.fit(module, TinyData(accumulate))
    found = writer.finish().measurements["coordinates"]
    assert list(found) == ["0", "1", "4"]
    for step, sizes in found.items():
        assert sizes == pytest.approx(module.expected[int(step)], rel=1e-5)
    hooked = [m for m in module.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooked == []


def test_measurements_outlive_a_restart(tmp_path: Path) -> None:
    facts: Any = make_facts(tmp_path)
    first, second = Coordinates(facts, steps=[0]), Coordinates(facts, steps=[0])
    first.measurements["coordinates"]["0"] = {"logits": 1.0}
    second.load_state_dict(first.state_dict())
    assert second.measurements == {"coordinates": {"0": {"logits": 1.0}}}


def test_compiled_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"set trainer\.compile=false"):
        Coordinates(make_facts(tmp_path, choices={"compile": True}), steps=[0])
