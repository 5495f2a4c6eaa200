from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel.callbacks.head_geometry import HeadGeometry, nearness, variance_share
from windtunnel.callbacks.record import RecordWriter
from windtunnel.interfaces import IGNORE_INDEX, Batch

pytestmark = QUIET
V, D = 6, 4


class Embedder(nn.Module):
    """Hidden states are rows of a table; the head has rows of its own."""

    def __init__(self, rows: int = V) -> None:
        super().__init__()
        self.vocab_size = V
        self.table = torch.randn(V, D, generator=torch.Generator().manual_seed(0))
        self.head = nn.Linear(D, rows, bias=False)

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        return self.table[tokens_BT]


class Objective(nn.Module):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.model = Embedder(rows)


class HeldOut(TinyData):
    """Two batches of tokens; each target is scored as often as `batches` says."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.held_out = []
        for _ in range(2):
            tokens = torch.randint(0, V, (3, 8), generator=generator)
            targets = torch.randint(0, V, (3, 8), generator=generator)
            targets[0, 0] = IGNORE_INDEX
            self.held_out.append(Batch(tokens, targets, None, tokens[:, 0]))

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held_out, batch_size=None)  # type: ignore[arg-type]


class Module(TinyModule):
    def __init__(self, rows: int = V) -> None:
        super().__init__()
        self.objective = Objective(rows)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


def measured(folder: Path, module: Module, least: int = 1) -> dict[str, Any]:
    facts = make_facts(folder)
    geometry = HeadGeometry(facts, components=[1, 2, 4], least=least)
    writer = RecordWriter(facts, points=400, sync_steps=3, divergence_margin=0.5)
    trainer = make_trainer([geometry, writer], steps=3, evaluate_every=3,
                           enable_checkpointing=False)  # fmt: skip
    trainer.fit(module, HeldOut())
    return writer.finish().measurements["head_geometry"]


def test_the_record_holds_what_the_held_out_tokens_say(tmp_path: Path) -> None:
    module, data = Module(), HeldOut()
    tokens = torch.cat([batch.tokens_BT.flatten() for batch in data.held_out])
    targets = torch.cat([batch.targets_BT.flatten() for batch in data.held_out])
    hidden, seen = module.objective.model.table[tokens].double(), []
    for v in range(V):
        own = hidden[targets == v]
        if len(own) >= 7:
            seen.append((v, own.mean(0)))
    found = measured(tmp_path, module, least=7)
    rows = module.objective.model.head.weight.detach().double()
    chosen, centres = torch.tensor([v for v, _ in seen]), torch.stack([c for _, c in seen])
    assert 2 <= found["n_tokens"] == len(seen) < V
    apart = ((rows[chosen] - centres) ** 2).sum() / ((centres - centres.mean(0)) ** 2).sum()
    assert found["centre_distance"] == pytest.approx(float(apart.sqrt()))
    variances = torch.linalg.eigvalsh(torch.cov(rows.T)).flip(0)
    assert found["variance_share"]["2"] == pytest.approx(
        float(variances[:2].sum() / variances.sum())
    )
    assert found["variance_share"]["4"] == pytest.approx(1.0)


def test_rows_on_their_centres_are_as_near_as_can_be() -> None:
    centres = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)).double()
    assert nearness(centres, centres) == {
        "centre_distance": 0.0, "centre_cosine": pytest.approx(1.0)
    }  # fmt: skip
    centred = centres - centres.mean(0)
    assert nearness(0 * centred, centred)["centre_distance"] == pytest.approx(1.0)
    assert nearness(-3 * centres, centres)["centre_cosine"] == pytest.approx(-1.0)


def test_one_class_has_no_nearness() -> None:
    one = torch.ones(1, 3).double()
    assert nearness(one, one) == {"centre_distance": None, "centre_cosine": None}


def test_rows_on_a_line_have_one_component() -> None:
    line = torch.arange(5.0).double()[:, None] * torch.tensor([1.0, 2.0, 3.0]) + 4.0
    assert variance_share(line, [1, 2]) == {"1": pytest.approx(1.0), "2": pytest.approx(1.0)}
    assert variance_share(torch.zeros(4, 3).double(), [1]) == {"1": 0.0}


def test_a_head_without_a_row_per_token_and_no_position_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a row for each of 6 tokens, got Linear"):
        measured(tmp_path, Module(rows=3))
    with pytest.raises(ValueError, match=r"head_geometry\.least .* at least 1; got 0"):
        HeadGeometry(make_facts(tmp_path), components=[1], least=0)


def test_rows_that_diverged_are_not_measured(tmp_path: Path) -> None:
    module = Module()
    nn.init.constant_(module.objective.model.head.weight, float("nan"))
    facts = make_facts(tmp_path)
    geometry = HeadGeometry(facts, components=[1], least=1)
    trainer = make_trainer([geometry], steps=1, evaluate_every=1, enable_checkpointing=False)
    trainer.fit(module, HeldOut())
    assert geometry.measurements == {}
