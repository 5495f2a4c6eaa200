from __future__ import annotations

import itertools
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.made import made_module, sentence
from tests.data.scored import scored
from windtunnel.data import scores
from windtunnel.data.batches import cut, make_batch
from windtunnel.data.composed import ComposedSampler
from windtunnel.data.documents import Documents
from windtunnel.data.lengthening import Growing
from windtunnel.data.limits import Limits
from windtunnel.data.mixture import Fixed
from windtunnel.data.order import Shuffled, Sorted
from windtunnel.data.selection import Threshold, Top
from windtunnel.data.text import TextFiles
from windtunnel.interfaces import Batch

STAGES: dict[str, Any] = {
    "selection": Top(score="quality", fraction=0.8, lowest=False, by_domain=True),
    "order": Sorted(score="wave", descending=False),
    "mixture": Fixed(weights={"a": 0.2, "b": 0.3, "c": 0.5}),
    "limits": Limits(epochs=1.0, beyond="repeat"),
    "length": Growing(first=8, multiple=8, until=0.5, power=1.0),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    scored(folder)
    return folder


def module(cache: Path, stages: Any = None, **changes: Any) -> Any:
    sampler = partial(ComposedSampler, **{**STAGES, **(stages or {})})
    return made_module(cache, **{"sampler": sampler, "n_sequences": 96, **changes})


def batches(found: Any, n: int) -> list[Batch]:
    return list(itertools.islice(found.train_dataloader(), n))


def everything(found: list[Batch]) -> Tensor:
    """All that a list of batches holds, window by window."""
    whole = []
    for batch in found:
        documents = batch.documents_BT
        documents = torch.zeros_like(batch.tokens_BT) if documents is None else documents
        domains = batch.domains_B[:, None]
        whole.append(torch.cat([batch.tokens_BT, batch.targets_BT, documents, domains], 1))
    return torch.cat(whole)


def ranked(found: Any, rank: int, n_ranks: int, global_step: int = 0) -> Any:
    class Trainer:
        global_rank, world_size = rank, n_ranks

    found.trainer = Trainer()
    found.trainer.global_step = global_step
    return found


def test_loader_processes_change_nothing(cache: Path) -> None:
    whole = everything(batches(module(cache), 12))
    for workers in (1, 2):
        again = everything(batches(module(cache, workers=workers), 12))
        assert (again == whole).all()


def test_devices_share_each_batch(cache: Path) -> None:
    whole = [everything([batch]) for batch in batches(module(cache), 12)]
    parts = [
        [everything([batch]) for batch in batches(ranked(module(cache), rank, 2), 12)]
        for rank in range(2)
    ]
    for first, second, both in zip(*parts, whole, strict=True):
        assert len(first) == len(second) == 2
        assert (torch.cat([first, second]) == both).all()


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_goes_on_after_any_step(cache: Path, step: int, accumulate: int) -> None:
    whole = everything(batches(module(cache, accumulate=accumulate), 12))
    stopped = ranked(module(cache, accumulate=accumulate), 0, 1, global_step=step)
    state = torch.load(_saved(stopped.state_dict(), cache), weights_only=True)
    again = module(cache, accumulate=accumulate, workers=1)
    again.load_state_dict(state)
    rest = everything(batches(again, 12 - step * accumulate))
    assert (rest == whole[4 * step * accumulate :]).all()


def _saved(state: dict[str, Any], folder: Path) -> Path:
    torch.save(state, folder / "state.ckpt")
    return folder / "state.ckpt"


def test_a_changed_order_is_refused(cache: Path) -> None:
    state = module(cache).state_dict()
    for stages in (
        {"order": Shuffled()},
        {"selection": None},
        {"mixture": Fixed(weights={"a": 0.3, "b": 0.2, "c": 0.5})},
    ):
        with pytest.raises(ValueError, match=r"the data's order: expected \w+ of the checkpoint"):
            module(cache, stages).load_state_dict(state)
    with pytest.raises(ValueError, match=r"the data's order: expected \w+ of the checkpoint"):
        made_module(cache).load_state_dict(state)
    with pytest.raises(ValueError, match=r"the data's seed: expected 3 of the checkpoint, got 4"):
        module(cache, seed=4).load_state_dict(state)


def test_a_corpus_that_changed_has_another_store_and_no_scores(tmp_path: Path) -> None:
    file = tmp_path / "text" / "all.txt"
    file.parent.mkdir()
    text = "\n<|endoftext|>\n".join(sentence(i) for i in range(60))
    file.write_text(text)

    def source() -> TextFiles:
        return TextFiles(path=str(file.parent), pattern="*", invalid_utf8="refuse")

    def plain() -> Any:
        return made_module(tmp_path / "cache", source=source())

    def opened() -> Any:
        stages = {"selection": None, "mixture": None}
        return module(tmp_path / "cache", stages, source=source())

    with pytest.raises(ValueError, match=r"score wave: expected a column of the store"):
        opened().build(None)
    before = plain()
    numbers = np.arange(len(Documents(before.store)))
    scores.write(before.store.folder, "wave", numbers, facts={"scorer": "made"})
    state = opened().state_dict()
    opened().load_state_dict(state)
    file.write_text(text.replace("number 7.", "number 8."))
    with pytest.raises(ValueError, match=r"score wave: expected a column of the store"):
        opened().build(None)
    assert plain().store.folder != before.store.folder
    with pytest.raises(ValueError, match=r"the data's order: expected \w+ \d+ of the checkpoint"):
        plain().load_state_dict(before.state_dict())


def test_what_cannot_be_sampled_is_said_when_the_data_is_built(cache: Path) -> None:
    nothing = {"selection": Threshold(score="wave", low=2.0, high=None)}
    with pytest.raises(ValueError, match=r"sampler\.selection: expected a selection that keeps"):
        module(cache, nothing).build(None)


def test_the_record_counts_passes(cache: Path) -> None:
    found = module(cache, n_sequences=960)
    facts = found.digests["sampler"]
    assert facts["groups"]["c"]["sequences"] == 480
    assert facts["groups"]["c"]["epochs"] > 1
    assert any(said.startswith("c is seen") for said in found.repeats(10**9))
    assert made_module(cache).repeats(10) == []
    (said,) = made_module(cache).repeats(10**6)
    assert said.startswith("the text is seen ")


def test_windows_are_cut_into_pieces_that_grow(cache: Path) -> None:
    found = batches(module(cache), 24)
    first, last = found[0].documents_BT, found[-1].documents_BT
    assert last is None
    assert first is not None
    assert first.tolist() == [[0] * 8 + [1] * 8] * 4
    plain = batches(module(cache, {"length": None}), 24)
    assert [b.documents_BT for b in plain] == [None] * 24
    for one, other in zip(found, plain, strict=True):
        assert (one.tokens_BT == other.tokens_BT).all()
        assert (one.targets_BT == other.targets_BT).all()


def test_pieces_and_documents_both_part_a_window() -> None:
    eot = 9
    rows = torch.tensor([[9, 1, 2, 3, 9, 4, 5, 9, 6], [1, 1, 9, 1, 1, 1, 1, 1, 1]]).numpy()
    batch = make_batch(rows, rows[:, 0], eot, mask=True)
    found = cut(batch, torch.tensor([3, 4])).documents_BT
    assert found is not None
    for row, length, documents in zip(rows, (3, 4), found, strict=True):
        borders = [i % length == 0 or row[i] == eot for i in range(1, 8)]
        assert (documents[1:] != documents[:-1]).tolist() == borders
    whole = make_batch(rows, rows[:, 0], eot, mask=False)
    only = cut(whole, torch.tensor([3, 8])).documents_BT
    assert only is not None
    assert only.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2], [0] * 8]


def test_the_dataset_travels_to_other_processes(cache: Path) -> None:
    dataset = module(cache).train_dataloader().dataset
    packed = pickle.dumps(dataset)
    assert len(packed) < 10_000  # no text, and no scores
    assert (pickle.loads(packed)[3].tokens_BT == dataset[3].tokens_BT).all()
