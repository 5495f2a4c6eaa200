from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.made import MadeSource, made_module
from tests.model.parts import drawn_gpt
from windtunnel.data.packed import BestFit
from windtunnel.data.packing import TRAIN
from windtunnel.data.source import Document
from windtunnel.data.tokenizer import Ids
from windtunnel.interfaces import IGNORE_INDEX, Batch

EOT = 256


def short_documents(n: int = 40) -> list[Document]:
    """Documents of 3 to 22 tokens, of 2 domains; some are longer than a row of 16."""
    texts = [f"{i} " + "abcdefghij" * (1 + i % 2) for i in range(n)]
    return [Document("ab"[i % 2], text[: 3 + i % 19], f"{i}") for i, text in enumerate(texts)]


def packed_module(cache: Path, **changes: Any) -> Any:
    source = MadeSource(short_documents())
    return made_module(
        cache, **{"source": source, "packing": BestFit, "document_mask": True, **changes}
    )


def rows_of(batches: list[Batch]) -> list[tuple[list[int], list[int], list[int]]]:
    return [
        (t.tolist(), y.tolist(), d.tolist())
        for batch in batches
        for t, y, d in zip(batch.tokens_BT, batch.targets_BT, batch.documents_BT, strict=True)  # type: ignore[arg-type]
    ]


def first(module: Any, n: int) -> list[Batch]:
    loader = iter(module.train_dataloader())
    return [next(loader) for _ in range(n)]


def test_a_pass_shows_every_token_once_with_the_one_that_follows_it(tmp_path: Path) -> None:
    module = packed_module(tmp_path, sequences=1)
    stream = module.store.stream(TRAIN).tolist()
    n_rows = module.digests["packing"]["rows"]
    seen = []
    for tokens, targets, documents in rows_of(first(module, n_rows)):
        scored = [i for i, y in enumerate(targets) if y != IGNORE_INDEX]
        assert scored == list(range(len(scored)))  # padding stands at the end
        assert all(d == max(documents) for d in documents[len(scored) :])
        seen += [(tokens[i], targets[i]) for i in scored]
        for i in scored[1:]:
            begins = documents[i] != documents[i - 1]
            assert (targets[i - 1] == EOT) >= (begins and tokens[i] == EOT)
            if not begins:
                assert tokens[i] == targets[i - 1]
    assert sorted(seen) == sorted(pairwise(stream))


def test_the_label_of_a_documents_last_token_is_the_separator(tmp_path: Path) -> None:
    module = packed_module(tmp_path, length=32, sequences=1)
    n_ends = 0
    for _, targets, documents in rows_of(first(module, module.digests["packing"]["rows"])):
        for i, (a, b) in enumerate(zip(documents, [*documents[1:], -1], strict=True)):
            if a != b and targets[i] != IGNORE_INDEX:
                n_ends += 1
                assert targets[i] == EOT  # no document is longer than a row
    assert n_ends == module.digests["packing"]["documents"]


def test_rows_are_shuffled_by_the_seed_and_alike_everywhere(tmp_path: Path) -> None:
    found = rows_of(first(packed_module(tmp_path), 4))
    assert rows_of(first(packed_module(tmp_path, workers=2), 4)) == found
    assert rows_of(first(packed_module(tmp_path, sequences=1), 16)) == found
    assert rows_of(first(packed_module(tmp_path, seed=4), 4)) != found
    later = packed_module(tmp_path)
    later.load_state_dict({"batches": 2, **{k: later.state_dict()[k] for k in ("seed", "order")}})
    assert rows_of(first(later, 2)) == found[8:]


def test_the_record_counts_padding_and_cuts(tmp_path: Path) -> None:
    module = packed_module(tmp_path)
    facts = module.digests["packing"]
    n_tokens = module.train_tokens - 1
    assert facts["padding"] == pytest.approx(1 - n_tokens / (facts["rows"] * 16))
    lengths = [len(d.content) + 1 for d in short_documents()]
    assert 0 < facts["documents_cut"] <= sum(n > 16 for n in lengths)
    assert facts["documents_cut"] < facts["documents_cut_by_windows"] < facts["documents"]
    whole = packed_module(tmp_path, length=32).digests["packing"]
    assert whole["documents_cut"] == 0 < whole["documents_cut_by_windows"]
    assert "packing" not in made_module(tmp_path).digests


def test_domains_are_those_of_the_first_documents(tmp_path: Path) -> None:
    """Texts of domain b begin with an odd number."""
    module = packed_module(tmp_path, length=32)
    for batch in first(module, 5):
        for tokens, domain in zip(batch.tokens_BT.tolist(), batch.domains_B.tolist(), strict=True):
            number = bytes(tokens[1 : tokens.index(ord(" "))]).decode()
            assert int(number) % 2 == domain


def test_packed_documents_give_what_each_gives_alone(tmp_path: Path) -> None:
    """With the mask; without it they see each other."""
    model = drawn_gpt(vocab_size=257, length=32)
    (batch,) = first(packed_module(tmp_path, length=32, sequences=2), 1)
    assert batch.documents_BT is not None
    masked, open_ = (model(batch.tokens_BT, d).detach() for d in (batch.documents_BT, None))
    n_compared, largest = 0, 0.0
    for row in range(2):
        for document in range(int(batch.documents_BT[row].max())):
            here = batch.documents_BT[row] == document
            alone = model(batch.tokens_BT[row, here].unsqueeze(0)).detach()[0]
            torch.testing.assert_close(masked[row, here], alone, atol=1e-5, rtol=1e-5)
            largest = max(largest, float((open_[row, here] - alone).abs().max()))
            n_compared += 1
    assert n_compared > 3
    assert largest > 0.01


def test_without_the_mask_there_are_no_documents(tmp_path: Path) -> None:
    (batch,) = first(packed_module(tmp_path, document_mask=False), 1)
    assert batch.documents_BT is None


def test_what_cannot_be_packed_is_refused(tmp_path: Path) -> None:
    ids = [
        Document("a", np.arange(n), split, split) for n, split in ((40, "train"), (30, "held_out"))
    ]
    module = packed_module(tmp_path, source=MadeSource(ids, vocab_size=40), tokenizer=Ids())
    with pytest.raises(ValueError, match="packing: expected text, whose documents have separators"):
        module.build(None)
    module = packed_module(tmp_path, sampler=lambda setting: object())
    with pytest.raises(ValueError, match="packing: expected no sampler beside it"):
        module.build(None)
