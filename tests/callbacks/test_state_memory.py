from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from tests.optim.problem import group
from windtunnel.callbacks.record import RecordWriter
from windtunnel.callbacks.state_memory import StateMemory, kept_bytes
from windtunnel.optim.eco import Adam, Dropped, Injected, Master, Quantised
from windtunnel.optim.grid import Float8

pytestmark = QUIET


def test_the_record_holds_weights_and_moments(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    trainer = make_trainer([StateMemory(facts), writer], steps=3, evaluate_every=3,
                           enable_checkpointing=False)  # fmt: skip
    trainer.fit(TinyModule(), TinyData())
    n = 4 * 8 + 8 * 4
    steps = 2 * 4  # AdamW counts the steps of each parameter in a float32
    expected = {"weights": 4 * n, "optimizer": 8 * n + steps, "total": 12 * n + steps}
    assert writer.finish().measurements["memory"] == expected


@pytest.mark.parametrize(
    ("error", "kept"), [(Injected(lr_floor=0.1), 0), (Dropped(), 0), (Master(), 4)]
)
def test_weights_on_a_grid_count_as_they_would_be_stored(error: Dropped, kept: int) -> None:
    """A byte a weight and a scale a row; two moments; a master copy where there is one."""
    hidden, other = (torch.nn.Parameter(torch.randn(shape)) for shape in ((6, 10), (7,)))
    groups = [group([hidden]), group([other], hidden=False)]
    optimizer = Quantised(
        groups, rule=Adam(betas=[0.9, 0.95]), error=error, grid=Float8(), stochastic=False, seed=1
    )
    for p in (hidden, other):
        p.grad = torch.ones_like(p)
    optimizer.step()
    found = kept_bytes(optimizer)
    assert found["weights"] == 60 + 6 * 4 + 4 * 7
    assert found["optimizer"] == (8 + kept) * 60 + 8 * 7
    assert found["total"] == found["weights"] + found["optimizer"]
