from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.data.made import made_documents, sentence
from windtunnel.data.source import Document
from windtunnel.data.spool import MAX_DOMAINS, Kept, Spool


def spooled(folder: Path, documents: list[Document], held_out: float = 0.3) -> Spool:
    spool = Spool(folder, held_out=held_out)
    list(spool.fill(iter(documents)))
    return spool


def test_order_and_digest_depend_on_content_alone(tmp_path: Path) -> None:
    documents = made_documents(200)
    shuffled = random.Random(1).sample(documents, len(documents))
    one, two = spooled(tmp_path / "1", documents), spooled(tmp_path / "2", shuffled)
    assert list(one.kept()) == list(two.kept())
    assert one.digests() == two.digests()
    assert [kept.text for kept in one.kept()] != [d.content for d in documents]
    assert sorted(kept.text for kept in one.kept()) == sorted(str(d.content) for d in documents)


@pytest.mark.parametrize(
    "change", [Document("a", "other", "group 0"), Document("b", sentence(0), "group 0")]
)
def test_digest_follows_text_and_domain(tmp_path: Path, change: Document) -> None:
    documents = made_documents(50)
    one = spooled(tmp_path / "1", documents)
    two = spooled(tmp_path / "2", [change, *documents[1:]])
    assert one.digests()[0] != two.digests()[0]


def test_the_split_moves_for_no_document_when_others_come(tmp_path: Path) -> None:
    few, many = made_documents(400), made_documents(800)
    split = [
        {kept.text: kept.is_held_out for kept in spooled(tmp_path / str(i), d).kept()}
        for i, d in enumerate((few, many))
    ]
    assert split[0].items() <= split[1].items()
    share = sum(split[1].values()) / 800
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 800))


def test_a_larger_fraction_holds_out_the_same_and_more(tmp_path: Path) -> None:
    held = []
    for i, fraction in enumerate((0.1, 0.2)):
        spool = spooled(tmp_path / str(i), made_documents(300), fraction)
        held.append({kept.text for kept in spool.kept() if kept.is_held_out})
    assert held[0] < held[1]
    assert spool.digests()[1] != spooled(tmp_path / "x", made_documents(300), 0.1).digests()[1]


def test_a_group_is_never_cut(tmp_path: Path) -> None:
    documents = [Document("ab"[i % 2], sentence(i), f"group {i // 8}") for i in range(400)]
    where = {str(d.content): d.group for d in documents}
    splits: dict[str, set[bool]] = {}
    for kept in spooled(tmp_path / "1", documents).kept():
        splits.setdefault(where[kept.text], set()).add(kept.is_held_out)
    assert len(splits) == 50
    assert all(len(split) == 1 for split in splits.values())


def test_a_domain_of_two_groups_has_both_kinds(tmp_path: Path) -> None:
    documents = [
        Document(f"d{i}", sentence(2 * i + k), f"{i}-{k}") for i in range(40) for k in (0, 1)
    ]
    kinds: dict[int, set[bool]] = {}
    for kept in spooled(tmp_path / "1", documents, 0.001).kept():
        kinds.setdefault(kept.domain, set()).add(kept.is_held_out)
    assert len(kinds) == 40
    assert all(kind == {True, False} for kind in kinds.values())


def test_a_stated_split_is_kept(tmp_path: Path) -> None:
    documents = [
        Document("a", sentence(i), str(i), "train" if i else "held_out") for i in range(50)
    ]
    documents += [Document("a", sentence(i), str(i)) for i in range(50, 100)]
    held = [kept.text for kept in spooled(tmp_path / "1", documents).kept() if kept.is_held_out]
    assert held == [sentence(0)]


def test_duplicates_are_dropped_and_held_out_text_is_never_trained_on(tmp_path: Path) -> None:
    documents = made_documents(30)
    doubles = [Document("b", sentence(i), f"again {i}", "held_out") for i in range(10)]
    kept = list(spooled(tmp_path / "1", [*documents, *documents, *doubles]).kept())
    assert len(kept) == 30
    by_text = {document.text: document for document in kept}
    assert all(by_text[sentence(i)].is_held_out for i in range(10))


def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    ids = np.arange(1000, dtype=np.int64)[::-1]
    (kept,) = spooled(tmp_path / "1", [Document("x", ids, "", "train")]).kept()
    assert kept.is_ids
    assert (kept.ids == ids).all()


def test_the_sample_is_training_text_up_to_its_size(tmp_path: Path) -> None:
    spool = spooled(tmp_path / "1", made_documents(300))
    train = {kept.text for kept in spool.kept() if not kept.is_held_out}
    texts = spool.sample(5000)
    assert sum(map(len, texts)) == 5000
    assert set(texts[:-1]) < train
    assert set(spool.sample(10**9)) == train


def test_counts(tmp_path: Path) -> None:
    spool = spooled(tmp_path / "1", [Document("b", "é", "1", n_replaced=2), Document("a", "", "2")])
    assert (spool.n_documents, spool.n_bytes, spool.n_replaced) == (1, 2, 2)
    assert spool.domains == ["b"]
    assert list(spool.kept()) == [
        Kept(domain=0, is_held_out=False, is_ids=False, content="é".encode())
    ]


def test_too_many_domains_are_refused(tmp_path: Path) -> None:
    documents = [Document(str(i), sentence(i), str(i)) for i in range(MAX_DOMAINS + 1)]
    with pytest.raises(ValueError, match=r"data: expected at most 256 domains, got another"):
        spooled(tmp_path / "1", documents)
