from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made import Kept, made_record
from windtunnel.interfaces import Curve, Evaluation, Job, Record
from windtunnel.studies.tokenizers import Tokenizers

VARIANTS: dict[str, dict[str, Any]] = {
    "bytes": {"tokenizer": "bytes"},
    "small": {"tokenizer": "bpe", "tokenizer.vocab_size": 512},
    "large": {"tokenizer": "bpe", "tokenizer.vocab_size": 2048},
}
VOCABULARY = {"bytes": 257, "small": 512, "large": 2048}
PER_TOKEN = {"bytes": 1.0, "small": 2.0, "large": 3.2}  # bytes of a token
BITS = {"bytes": 2.5, "small": 2.2, "large": 2.3}
BEST = {"bytes": 0.02, "small": 0.01, "large": 0.01}
STEP = 2048


def flops_per_token(name: str) -> float:
    return 6.0 * (50_000 + 64 * VOCABULARY[name])


def made_tokenizers(**changes: Any) -> Tokenizers:
    values: dict[str, Any] = {
        "variants": VARIANTS,
        "reference": "small",
        "text_bytes": 2_000_000,
        "probe_tokens": 2 * STEP,
        "warmup_fraction": 0.1,
        "evaluations": 4,
        "seeds": 3,
        "lr": 0.01,
        "lr_factors": [0.5, 1.0, 2.0],
        "flops_convention": "head_counted",
        "level": 0.95,
        "report": Kept(),
    }
    return Tokenizers(**{**values, **changes})


def made(job: Job, bits: float | None = None) -> Record:
    """What a job with one of the tokenizers could leave."""
    name = job.name.split("-")[0]
    tokens, held_out = job.overrides["budget.tokens"], int(100_000 / PER_TOKEN[name])
    nats = None if bits is None else bits * PER_TOKEN[name] * math.log(2)
    wide = replace(job, overrides={"model.width": 64, **job.overrides})
    return made_record(
        wide,
        nats,
        tokens=tokens,
        steps=tokens // STEP,
        train_flops={"head_counted": flops_per_token(name) * tokens},
        evaluation=None if nats is None else Evaluation(nats, bits, held_out),  # type: ignore[arg-type]
        eval_curve=Curve([] if nats is None else [tokens // 2, tokens], [nats, nats]),  # type: ignore[list-item]
        data={
            "vocab_size": VOCABULARY[name],
            "bytes_per_token": PER_TOKEN[name],
            "train_tokens": 1_500_000,
            "domains": {
                "a": {"train_tokens": 1000, "train_bytes": int(1000 * PER_TOKEN[name]),
                      "held_out_tokens": held_out},
                "b": {"train_tokens": 500, "train_bytes": int(500 * PER_TOKEN[name]),
                      "held_out_tokens": 7},
            },
        },
        measurements={"tokenizer": {"bytes_per_token": PER_TOKEN[name], "fertility": 2.0,
                                    "continued": 0.5, "shannon": 4.0, "renyi": 3.0,
                                    "renyi_efficiency": 0.5}},
    )  # fmt: skip


def truth(job: Job) -> float:
    name = job.name.split("-")[0]
    if job.role == "probe":
        return 8.0
    away = math.log2(job.overrides["optim.lr"] / BEST[name])
    seed = job.overrides["seed"]
    own = random.Random(job.name).gauss(0, 0.001)
    gain = -0.3 if job.role == "text" and name == "bytes" else 0.0
    return BITS[name] + gain + 0.1 * away**2 + 0.1 * seed + own


def run(study: Tokenizers, folder: Path) -> tuple[dict[str, Any], dict[str, Record], list]:
    records: dict[str, Record] = {}
    batches = []
    while batch := list(study.propose(records, folder)):
        batches.append(batch)
        records |= {job.name: made(job, truth(job)) for job in batch}
    return study.conclude(records, folder), records, batches


def test_probes_then_trials_then_runs(tmp_path: Path) -> None:
    study = made_tokenizers()
    _, _, (probes, trials, finals) = run(study, tmp_path)
    assert list(study.plan()) == probes
    assert [job.overrides["budget.tokens"] for job in probes] == [2 * STEP] * 3
    assert len(trials) == 3 * 3
    assert {job.overrides["seed"] for job in trials} == {4}
    rates = {n: sorted(j.overrides["optim.lr"] for j in trials if j.name.startswith(n))
             for n in VARIANTS}  # fmt: skip
    assert set(map(tuple, rates.values())) == {(0.005, 0.01, 0.02)}
    assert len(finals) == 3 * 3 * 2 - 3  # those of the reference serve twice
    for job in finals:
        assert job.overrides["optim.lr"] == BEST[job.name.split("-")[0]]
    assert {job.overrides["seed"] for job in finals} == {1, 2, 3}


def test_runs_are_equal_in_compute_and_in_text(tmp_path: Path) -> None:
    """To half the stretch between two evaluations, in which budgets are counted."""
    _, _, (_, trials, finals) = run(made_tokenizers(), tmp_path)
    spent = 2_000_000 / 2.0 * flops_per_token("small")
    for job in [*trials, *finals]:
        name, tokens = job.name.split("-")[0], job.overrides["budget.tokens"]
        assert tokens % (4 * STEP) == 0
        exact = spent / flops_per_token(name)
        if job.role == "text":
            exact = 2_000_000 / PER_TOKEN[name]
        assert abs(tokens - exact) <= 2 * STEP
        assert job.overrides["schedule.warmup_tokens"] == int(0.1 * tokens)
        assert job.overrides["data.eval_tokens"] == int(100_000 / PER_TOKEN[name]) + 7
    assert {job.role for job in finals if job.name.startswith("small")} == {"compute"}
    assert {job.role for job in finals if job.name.startswith("large")} == {"compute", "text"}


def test_bits_per_byte_are_compared_seed_by_seed(tmp_path: Path) -> None:
    result, _, _ = run(made_tokenizers(), tmp_path)
    own = result["tokenizers"]["bytes"]
    assert own["compute"]["mean"] == pytest.approx(2.7, abs=0.005)
    found = own["compute"]["less_reference"]
    assert found["mean"] == pytest.approx(0.3, abs=0.005)
    assert found["low"] < 0.3 < found["high"] < 0.32
    assert own["text"]["less_reference"]["mean"] == pytest.approx(0.0, abs=0.005)
    assert own["vocab_size"] == 257
    assert own["flops_per_token"] == flops_per_token("bytes")
    assert own["compute"]["flops"] == pytest.approx(1e6 * flops_per_token("small"), rel=0.01)
    assert own["text"]["bytes"] == pytest.approx(2e6, rel=0.01)
    reference = result["tokenizers"]["small"]
    assert reference["compute"]["mean"] == reference["text"]["mean"]
    assert reference["compute"]["less_reference"] is None
    curve = own["compute"]["curve"]
    assert curve["bits_per_byte"][-1] == pytest.approx(own["compute"]["mean"])
    assert curve["flops"][-1] == own["compute"]["flops"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_what_weakens_the_comparison_is_said(tmp_path: Path) -> None:
    result, records, _ = run(made_tokenizers(), tmp_path)
    assert result["warnings"] == [
        "bytes: the best learning rate lies on the edge of the grid",
        "bytes: sees its text up to 1.3 times over",
    ]
    study = made_tokenizers()
    lost = {n: r for n, r in records.items() if not n.startswith("large-probe")}
    found = study.conclude(lost, tmp_path)
    assert "large" not in found["tokenizers"]
    assert "large: its probe left nothing, so it is not compared" in found["warnings"]
    assert study.conclude({}, tmp_path)["tokenizers"] == {}


def test_a_tokenizer_that_no_rate_trains_is_left_out(tmp_path: Path) -> None:
    study = made_tokenizers()
    records: dict[str, Record] = {}
    while batch := study.propose(records, tmp_path):
        records |= {
            job.name: made(job, None if job.name.startswith("large-lr") else truth(job))
            for job in batch
        }
    assert not any(name.startswith("large-compute") for name in records)
    result = study.conclude(records, tmp_path)
    assert result["tokenizers"]["large"]["compute"]["mean"] is None
    assert "large: no learning rate gave a loss" in result["warnings"]


def test_ids_have_no_bytes(tmp_path: Path) -> None:
    study = made_tokenizers()
    records = {job.name: made(job, 8.0) for job in study.probes()}
    for record in records.values():
        for domain in record.data["domains"].values():
            domain["train_bytes"] = 0
    with pytest.raises(ValueError, match="data: expected text, whose bytes tokenizers can share"):
        study.propose(records, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"bytes": {}}}, "at least 2 variants"),
        ({"variants": {**VARIANTS, "x": {"budget.tokens": 3}}}, "is set by the study"),
        ({"reference": "gone"}, r"study\.reference must be one of study\.variants"),
        ({"seeds": 0}, r"study\.seeds"),
        ({"level": 95}, r"study\.level"),
        ({"lr_factors": []}, r"study\.lr_factors"),
        ({"warmup_fraction": 1.0}, r"study\.warmup_fraction must lie in \[0, 1\)"),
        ({"flops_convention": "guessed"}, r"study\.flops_convention must be one of"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_tokenizers(**changes)
