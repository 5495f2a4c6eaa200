"""Perturbations, packing and transforms in whole jobs of two steps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.data.made import sentence
from windtunnel.build import load_model
from windtunnel.config import compose
from windtunnel.interfaces import Record
from windtunnel.run import run


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, numbers in (("train", range(30)), ("valid", range(30, 36))):
        documents = "<|endoftext|>\n".join(sentence(i) * (1 + i % 3) for i in numbers)
        (folder / f"{name}.txt").write_text(documents)
    return folder


def trained(texts: Path, folder: Path, *more: str) -> Record:
    given = [
        "data=text",
        f"data.path={texts}",
        "data.eval_tokens=300",
        "tokenizer=bytes",
        f"paths.outputs={folder.parent}",
        "budget.tokens=512",
        "batch.sequences=4",
        "batch.length=64",
        "model.width=8",
        "model.depth=1",
        "model.head_size=4",
        "schedule.warmup_tokens=0",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        *more,
    ]
    run(compose(None, given), folder)
    return Record.load(folder)


def test_a_perturbed_language_is_learned(texts: Path, tmp_path: Path) -> None:
    found = trained(texts, tmp_path / "job", "perturbation=reverse_full")
    plain = trained(texts, tmp_path / "plain", "perturbation=unchanged")
    assert found.outcome == "finished"
    assert (found.data["vocab_size"], plain.data["vocab_size"]) == (258, 257)
    assert found.data["tokenizer"] != plain.data["tokenizer"]
    assert found.data["train_tokens"] > plain.data["train_tokens"]
    assert found.evaluation is not None
    assert math.isfinite(found.evaluation.bits_per_byte)


def test_packed_documents_train(texts: Path, tmp_path: Path) -> None:
    record = trained(texts, tmp_path / "job", "packing=best_fit", "data.document_mask=true")
    assert record.outcome == "finished"
    assert 0 < record.data["packing"]["padding"] < 0.5


def test_a_model_that_saw_masks_is_read_back_with_its_larger_table(
    texts: Path, tmp_path: Path
) -> None:
    more = ("transform=masked_inputs", "transform.ramp_tokens=0", "loss=cross_entropy")
    record = trained(texts, tmp_path / "job", *more)
    assert record.data["vocab_size"] == 258
    assert load_model(folder=str(tmp_path / "job")).vocab_size == 258
