from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.data.made import MadeSource, made_module
from windtunnel.data.batches import CountFrom
from windtunnel.data.packing import START_DOMAINS, STARTS, TRAIN, held_out_name
from windtunnel.data.source import Document
from windtunnel.data.store import map_file
from windtunnel.data.subwords import BytePairs
from windtunnel.data.synthetic import MarkovSource
from windtunnel.data.tokenizer import Ids
from windtunnel.interfaces import IGNORE_INDEX, Batch


class Ranked:
    """Stands for a trainer of several processes."""

    def __init__(self, rank: int, n_ranks: int, global_step: int = 0) -> None:
        self.global_rank, self.world_size, self.global_step = rank, n_ranks, global_step


def batches(module: Any, n: int) -> list[Batch]:
    return list(itertools.islice(module.train_dataloader(), n))


def tokens(found: list[Batch]) -> Tensor:
    return torch.cat([batch.tokens_BT for batch in found])


def test_targets_are_the_next_tokens_of_the_stream(tmp_path: Path) -> None:
    module = made_module(tmp_path)
    stream = bytes(module.store.stream(TRAIN).astype(np.uint8))
    for batch in batches(module, 5):
        assert batch.tokens_BT.shape == batch.targets_BT.shape == (4, 16)
        assert batch.documents_BT is None
        assert (batch.tokens_BT[:, 1:] == batch.targets_BT[:, :-1]).all()
        for row in torch.cat([batch.tokens_BT, batch.targets_BT[:, -1:]], 1):
            assert bytes(row.numpy().astype(np.uint8)) in stream


def test_one_epoch_shows_every_window_once(tmp_path: Path) -> None:
    module = made_module(tmp_path, sequences=1)
    stream = module.store.stream(TRAIN)
    n_rows = (len(stream) - 1) // 16
    seen = tokens(batches(module, n_rows))
    wanted = {tuple(stream[16 * i : 16 * i + 16].tolist()) for i in range(n_rows)}
    assert {tuple(row.tolist()) for row in seen} == wanted


def test_windows_know_the_domain_of_their_first_token(tmp_path: Path) -> None:
    module = made_module(tmp_path, length=40)
    stream = module.store.stream(TRAIN)
    starts = map_file(module.store.folder / STARTS, "int64").tolist()
    domains = map_file(module.store.folder / START_DOMAINS, "uint16").tolist()
    places = {tuple(stream[i : i + 40].tolist()): i for i in range(0, len(stream) - 40, 40)}
    seen: set[int] = set()
    for batch in batches(module, 60):
        for row, domain in zip(batch.tokens_BT.tolist(), batch.domains_B.tolist(), strict=True):
            place = places[tuple(row)]
            seen.add(place)
            assert domain == domains[sum(start <= place for start in starts) - 1]
    assert seen & set(starts)  # a document that starts with the window


def test_documents_are_numbered_within_a_window(tmp_path: Path) -> None:
    module = made_module(tmp_path, document_mask=True, length=100)
    n_borders = 0
    for batch in [*batches(module, 5), *module.val_dataloader()]:
        assert batch.documents_BT is not None
        steps = batch.documents_BT[:, 1:] - batch.documents_BT[:, :-1]
        assert (steps == (batch.tokens_BT[:, 1:] == 256)).all()
        n_borders += int(steps.sum())
    assert n_borders > 0


def test_batches_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    found = tokens(batches(made_module(tmp_path), 12))
    assert (tokens(batches(made_module(tmp_path), 12)) == found).all()
    assert (tokens(batches(made_module(tmp_path, sequences=1), 48)) == found).all()
    assert (tokens(batches(made_module(tmp_path, sequences=12), 4)) == found).all()
    assert (tokens(batches(made_module(tmp_path, seed=4), 12)) != found).any()


def test_loader_processes_change_nothing(tmp_path: Path) -> None:
    found = batches(made_module(tmp_path), 6)
    again = batches(made_module(tmp_path, workers=2), 6)
    assert (tokens(again) == tokens(found)).all()
    held = [list(made_module(tmp_path, workers=n).val_dataloader()) for n in (0, 2)]
    assert (tokens(held[0]) == tokens(held[1])).all()


def test_devices_share_the_batches_of_one(tmp_path: Path) -> None:
    whole = tokens(batches(made_module(tmp_path), 6))
    for n_ranks in (2, 4):
        parts = []
        for rank in range(n_ranks):
            module = made_module(tmp_path)
            module.trainer = Ranked(rank, n_ranks)  # pyright: ignore
            parts.append(batches(module, 6))
        turns = [batch for step in zip(*parts, strict=True) for batch in step]
        assert (tokens(turns) == whole).all()


def test_devices_that_cannot_share_a_batch_are_refused(tmp_path: Path) -> None:
    module = made_module(tmp_path)
    module.trainer = Ranked(0, 3)  # pyright: ignore
    for loader in (module.train_dataloader, module.val_dataloader):
        with pytest.raises(ValueError, match="multiple of the 3 devices of a job, got 4"):
            loader()


def test_a_resumed_job_sees_the_same_batches_on_other_devices(tmp_path: Path) -> None:
    found = tokens(batches(made_module(tmp_path), 9))
    before = made_module(tmp_path)
    before.trainer = Ranked(0, 1, global_step=6)  # pyright: ignore
    parts = []
    for rank in range(2):
        module = made_module(tmp_path)
        module.load_state_dict(before.state_dict())
        module.trainer = Ranked(rank, 2)  # pyright: ignore
        parts.append(batches(module, 3))
    turns = [batch for step in zip(*parts, strict=True) for batch in step]
    assert (tokens(turns) == found[24:]).all()


def test_starts_where_it_is_told(tmp_path: Path) -> None:
    found = batches(made_module(tmp_path), 9)
    module = made_module(tmp_path, accumulate=2)
    module.trainer = Ranked(0, 1, global_step=3)  # pyright: ignore
    state = module.state_dict()
    assert state["batches"] == 6
    module.load_state_dict(state)
    assert (tokens(batches(module, 3)) == tokens(found[6:])).all()
    assert made_module(tmp_path).state_dict()["batches"] == 0


def test_goes_on_with_the_same_data_only(tmp_path: Path) -> None:
    state = made_module(tmp_path).state_dict()
    others: dict[str, Any] = {
        "seed": {"seed": 4},
        "order": {"length": 17},
    }
    for name, changes in others.items():
        module = made_module(tmp_path, **changes)
        with pytest.raises(ValueError, match=rf"the data's {name}: expected .* of the checkpoint"):
            module.load_state_dict(state)
        module.take_any_order()
        module.load_state_dict({**state, "batches": 5})
        whole = tokens(batches(made_module(tmp_path, **changes), 6))
        assert (tokens(batches(module, 1)) == whole[-4:]).all()
    made_module(tmp_path, sequences=12, accumulate=3, workers=2).load_state_dict(state)
    made_module(tmp_path).load_state_dict({"batches": 3})  # of a version without these


def test_counts_without_end() -> None:
    assert list(itertools.islice(CountFrom(3), 4)) == [3, 4, 5, 6]


def test_held_out_windows_are_scored_once_whatever_the_devices(tmp_path: Path) -> None:
    def scored(rank: int, n_ranks: int) -> list[list[int]]:
        module = made_module(tmp_path)
        module.trainer = Ranked(rank, n_ranks)  # pyright: ignore
        found = list(module.val_dataloader())
        assert {batch.tokens_BT.shape for batch in found} == {(4 // n_ranks, 16)}
        lengths.append(len(found))
        rows = torch.cat([batch.targets_BT for batch in found])
        return [row.tolist() for row in rows if (row != IGNORE_INDEX).any()]

    lengths: list[int] = []
    whole = scored(0, 1)
    parts = scored(0, 2) + scored(1, 2)
    assert sorted(parts) == sorted(whole)
    assert len(set(lengths[1:])) == 1  # as many batches on each: nobody waits for ever


def test_held_out_windows_have_one_domain_and_are_padded(tmp_path: Path) -> None:
    module = made_module(tmp_path, eval_tokens=10**6)
    streams = [module.store.stream(held_out_name(i)).tolist() for i in range(3)]
    targets: list[list[int]] = [[], [], []]
    for batch in module.val_dataloader():
        assert batch.tokens_BT.min() >= 0
        for row, domain in zip(batch.targets_BT.tolist(), batch.domains_B.tolist(), strict=True):
            targets[domain] += [t for t in row if t != IGNORE_INDEX]
    assert targets == [stream[1:] for stream in streams]
    assert module.eval_tokens == sum(map(len, targets))


@pytest.mark.parametrize("wanted", [150, 10**6])
def test_bytes_per_token_count_the_text_that_is_scored(tmp_path: Path, wanted: int) -> None:
    spec = BytePairs(vocab_size=290, sample_bytes=10_000)
    module = made_module(tmp_path, tokenizer=spec, eval_tokens=wanted)
    texts: dict[str, bytes] = dict.fromkeys(module.domains, b"")
    n_tokens = dict.fromkeys(module.domains, 0)
    for batch in module.val_dataloader():
        for row, domain in zip(batch.targets_BT.tolist(), batch.domains_B.tolist(), strict=True):
            ids = [t for t in row if t != IGNORE_INDEX]
            texts[module.domains[domain]] += module.tokenizer.decode(ids).encode()
            n_tokens[module.domains[domain]] += len(ids)
    wanted_ratio = {name: len(texts[name]) / n_tokens[name] for name in texts}
    assert module.bytes_per_token == pytest.approx(wanted_ratio)
    overall = sum(map(len, texts.values())) / sum(n_tokens.values())
    assert module.overall_bytes_per_token == pytest.approx(overall)
    assert module.eval_tokens == sum(n_tokens.values())


def test_a_tokenizer_that_does_not_say_its_bytes_takes_the_mean_of_the_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from windtunnel.data.tokenizer import ByteTokenizer

    monkeypatch.setattr(ByteTokenizer, "byte_lengths", None)
    module = made_module(tmp_path)
    domain = module.store.domains[0]
    assert module.bytes_per_token["a"] == pytest.approx(
        domain.held_out_bytes / domain.held_out_tokens
    )


def test_digests_say_what_the_data_is(tmp_path: Path) -> None:
    module = made_module(tmp_path)
    digests = module.digests
    assert digests["made"] is True
    assert digests["domains"]["a"]["train_documents"] > 0
    assert digests["train_tokens"] == module.train_tokens
    assert digests["vocab_size"] == module.vocab_size == 257
    assert module.domains == ["a", "b", "c"]
    assert {"source", "tokenizer", "store", "n_replaced"} < set(digests)


def test_the_synthetic_source_is_one_endless_document(tmp_path: Path) -> None:
    source = MarkovSource(
        vocab_size=8, strength=1.5, exponent=1.0, train_tokens=2000, held_out_tokens=401, seed=1
    )
    module = made_module(
        tmp_path, source=source, tokenizer=Ids(), held_out=0.0, document_mask=True, eval_tokens=400
    )
    (batch,) = batches(module, 1)
    assert batch.documents_BT is not None
    assert batch.documents_BT.sum() == 0
    assert (module.vocab_size, module.train_tokens, module.eval_tokens) == (8, 2000, 400)
    assert module.bytes_per_token == {"markov": 0.0}
    assert module.digests["entropy_rate_nats"] == source.entropy_rate_nats


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 10**6}, r"batch\.length: expected at most \d+, since the training text has"),
        ({"held_out": 0.0}, r"data\.held_out: expected a fraction that leaves text .* 60 doc"),
        ({"held_out": 1.0}, r"data\.held_out: expected a fraction from 0 to below 1, got 1\.0"),
        ({"eval_tokens": 0}, r"data\.eval_tokens: expected at least 1, got 0"),
        ({"length": 0}, r"batch\.length: expected at least 1, got 0"),
        ({"sequences": 0}, r"batch\.sequences: expected at least 1, got 0"),
        ({"source": MadeSource([Document("a", "x" * 99, "1")])}, r"of 1 document\(s\)"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_module(tmp_path, **changes).build(None)


def test_datasets_travel_to_other_processes(tmp_path: Path) -> None:
    dataset = made_module(tmp_path).train_dataloader().dataset
    packed = pickle.dumps(dataset)
    assert len(packed) < 5000
    assert (pickle.loads(packed)[3].tokens_BT == dataset[3].tokens_BT).all()


class Listener(L.LightningModule):
    """Trains one number, and notes the tokens it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch) -> Tensor:
        self.seen.append(batch.tokens_BT.flatten().tolist())
        return self.weight * batch.tokens_BT.float().mean()

    def validation_step(self, batch: Batch) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def fit(tmp_path: Path, steps: int, accumulate: int, ckpt_path: Path | None) -> Any:
    module = made_module(tmp_path / "cache", accumulate=accumulate)
    listener = Listener()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulate,
        val_check_interval=2 * accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(listener, datamodule=module, ckpt_path=ckpt_path)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return listener.seen


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(tmp_path: Path, accumulate: int) -> None:
    whole = fit(tmp_path, 8, accumulate, None)
    first = fit(tmp_path, 3, accumulate, None)
    rest = fit(tmp_path, 8, accumulate, tmp_path / "last.ckpt")
    assert len(whole) == 8 * accumulate
    assert first + rest == whole
