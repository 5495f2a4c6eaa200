from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from windtunnel.build import build_data, build_model
from windtunnel.checkpoint import checkpoint_path, load_weights, read
from windtunnel.config import compose
from windtunnel.interfaces import Record
from windtunnel.run import doubts, prepare, remembered, run
from windtunnel.training import LanguageModelling

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "at", "all"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains of made text, many short documents each."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = torch.Generator().manual_seed(0)
    for domain in ("prose", "verse"):
        (folder / domain).mkdir()
        texts = []
        for _ in range(40):
            picks = torch.randint(0, len(WORDS), (60,), generator=generator).tolist()
            texts.append(" ".join(WORDS[i] for i in picks))
        (folder / domain / "train.txt").write_text("\n<|endoftext|>\n".join(texts))
    return folder


def settings(corpus: Path, tmp_path: Path, *more: str) -> list[str]:
    return [
        "data=text",
        f"data.path={corpus}",
        "tokenizer=bytes",
        f"paths.outputs={tmp_path}",
        "data.eval_tokens=2000",
        "budget.tokens=5120",
        "budget.evaluations=2",
        "batch.sequences=8",
        "batch.length=32",
        "model.width=16",
        "model.depth=2",
        "model.head_size=8",
        "schedule.warmup_tokens=512",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        *more,
    ]


def trained(folder: Path, overrides: list[str]) -> Record:
    run(compose(None, overrides), folder)
    return Record.load(folder)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A job that was left alone."""
    home = tmp_path_factory.mktemp("whole")
    return home / "job", trained(home / "job", settings(corpus, home))


def test_a_job_leaves_its_record_config_and_checkpoint(whole: tuple[Path, Record]) -> None:
    folder, record = whole
    assert record.outcome == "finished"
    assert record.steps == 20
    assert record.tokens == 5120
    assert record.evaluation is not None
    assert set(record.evaluation.domains) == {"prose", "verse"}
    assert record.evaluation.loss_nats < math.log(257)
    bits = record.evaluation.loss_nats / math.log(2)  # a byte a token, but for separators
    assert record.evaluation.bits_per_byte == pytest.approx(bits, rel=0.02)
    assert record.eval_curve.tokens == [2560, 5120]
    assert len(record.train_curve.values) == 20
    assert record.train_flops["kaplan"] == 6 * record.parameters["non_embedding"] * 5120
    assert record.mfu is None
    assert json.loads((folder / "config.json").read_text()) == record.config
    assert json.loads((folder / "choices.json").read_text()) == record.choices
    assert {row["name"] for row in record.table} >= {"embedding.weight", "head.weight"}


def test_the_checkpoint_gives_the_model_back(corpus: Path, whole, tmp_path: Path) -> None:
    folder, record = whole
    cfg = compose(None, settings(corpus, tmp_path))
    model, _ = build_model(cfg, record.data["vocab_size"])
    fresh = model.head.weight.clone()
    load_weights(model, checkpoint_path(folder), "objective.model.")
    assert not torch.equal(fresh, model.head.weight)


def test_every_repetition_is_the_same_and_another_seed_is_not(corpus, whole, tmp_path) -> None:
    again = trained(tmp_path / "again", settings(corpus, tmp_path))
    other = trained(tmp_path / "other", settings(corpus, tmp_path, "seed=2"))
    assert again.train_curve == whole[1].train_curve
    assert again.evaluation == whole[1].evaluation
    assert other.train_curve != whole[1].train_curve


def test_the_model_and_the_order_of_the_data_have_their_own_seeds(corpus, tmp_path) -> None:
    def drawn(*seeds: str) -> tuple[torch.Tensor, torch.Tensor]:
        cfg = compose(None, settings(corpus, tmp_path, f"paths.cache={tmp_path}", *seeds))
        data = build_data(cfg)
        data.build(None)
        data.setup()
        model, _ = build_model(cfg, data.vocab_size)
        return model.embedding.weight, next(iter(data.train_dataloader())).tokens_BT

    model, tokens = drawn("seed=1")
    other_model, same_tokens = drawn("seed=2", "batch.seed=1")
    same_model, other_tokens = drawn("seed=1", "batch.seed=2")
    assert torch.equal(tokens, same_tokens)
    assert torch.equal(model, same_model)
    assert not torch.equal(model, other_model)
    assert not torch.equal(tokens, other_tokens)
    assert torch.equal(other_tokens, drawn("seed=2")[1])


def test_a_stopped_job_goes_on_as_if_it_had_not_been(corpus, whole, tmp_path, monkeypatch) -> None:
    """Interrupted in step 12 with a checkpoint after every step: the same record in the end."""
    inside = LanguageModelling.training_step

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == 12:
            raise KeyboardInterrupt
        return inside(self, batch, batch_idx)

    monkeypatch.setattr(LanguageModelling, "training_step", interrupted)
    overrides = settings(corpus, tmp_path, "trainer.checkpoint_seconds=0")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trained(tmp_path / "job", overrides)
    assert Record.load(tmp_path / "job").outcome == "stopped"
    monkeypatch.setattr(LanguageModelling, "training_step", inside)
    record = trained(tmp_path / "job", overrides)
    assert record.outcome == "finished"
    assert record.train_curve == whole[1].train_curve
    assert record.eval_curve == whole[1].eval_curve
    assert record.evaluation == whole[1].evaluation


def test_accumulated_batches_train_as_whole_ones(corpus, whole, tmp_path) -> None:
    record = trained(tmp_path / "job", settings(corpus, tmp_path, "batch.accumulate=4"))
    assert record.steps == 20
    assert record.train_curve.values == pytest.approx(whole[1].train_curve.values, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [False, True])
def test_compiled_training_gives_the_losses_of_eager_training(corpus, tmp_path, mask) -> None:
    """To 1e-4 over 20 steps; the checkpoints have the same keys."""
    overrides = settings(corpus, tmp_path, f"data.document_mask={mask}")
    eager = trained(tmp_path / "eager", overrides)
    compiled = trained(tmp_path / "compiled", [*overrides, "++trainer.compile=true"])
    assert compiled.choices["compile"] is True
    assert compiled.train_curve.values == pytest.approx(eager.train_curve.values, abs=1e-4)
    assert compiled.eval_curve.values == pytest.approx(eager.eval_curve.values, abs=1e-4)
    states = [
        read(checkpoint_path(tmp_path / name))["state_dict"] for name in ("eager", "compiled")
    ]
    assert list(states[0]) == list(states[1])


def test_a_rate_that_is_far_too_high_is_recorded_as_diverged(corpus, tmp_path) -> None:
    overrides = settings(corpus, tmp_path, "optim.lr=1e30", "optim.clip_norm=1e30")
    loss = run(compose(None, overrides), tmp_path / "job")
    record = Record.load(tmp_path / "job")
    assert math.isnan(loss)
    assert record.outcome == "diverged"
    assert record.outcome_reason


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.head_size=6", "model.width must be a multiple of model.head_size"),
        ("schedule.warmup_tokens=9999", "schedule.warmup_tokens must be below the budget"),
        ("budget.tokens=10", "budget.tokens must allow one batch"),
        ("task=score", "scorer: expected a scorer for task=score, got none"),
        ("batch.accumulate=3", "batch.accumulate must divide batch.sequences"),
    ],
)
def test_a_bad_setting_is_said_before_any_work(corpus, tmp_path, setting, message) -> None:
    from omegaconf import OmegaConf

    cfg = compose(None, settings(corpus, tmp_path))
    key, _, value = setting.partition("=")
    OmegaConf.update(
        cfg, key, OmegaConf.create({"v": value})["v"] if value == "score" else int(value)
    )
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        run(cfg, tmp_path / "job")
    assert not (tmp_path / "job" / "record.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], []),
        (["budget.tokens=200_000"], ["the text is seen ", " times over: there are "]),
        (
            ["data.eval_tokens=1_000_000"],
            ["data.eval_tokens=1000000 held-out predictions are wanted, only"],
        ),
    ],
)
def test_what_to_mind_about_the_text_is_noted(corpus, tmp_path, more, said) -> None:
    cfg = compose(None, settings(corpus, tmp_path, *more))
    budget, data = prepare(cfg)
    found = " ".join(doubts(data, budget.tokens, cfg.data.eval_tokens))
    assert all(words in found for words in said)
    assert bool(found) == bool(said)


def test_a_domain_without_held_out_text_and_bytes_that_are_no_text_are_noted(
    corpus, tmp_path
) -> None:
    for name in ("prose", "verse"):
        shutil.copytree(corpus / name, tmp_path / "texts" / name)
    (tmp_path / "texts/alone").mkdir()
    (tmp_path / "texts/alone/one.txt").write_bytes(b"one long caf\xe9 in a text\n" * 20)
    cfg = compose(None, settings(tmp_path / "texts", tmp_path))
    budget, data = prepare(cfg)
    assert doubts(data, budget.tokens, cfg.data.eval_tokens) == [
        "alone: a single document, none held out, so it is not evaluated",
        "20 places that are no UTF-8 were replaced",
    ]


def test_choices_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    assert remembered(path, lambda: {"a": 1}) == {"a": 1}
    assert remembered(path, lambda: {"a": 2}) == {"a": 1}
