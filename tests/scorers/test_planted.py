from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.data.made import MadeSource, made_documents, made_store
from windtunnel.data.corrupted import Corrupted
from windtunnel.data.passages import Passages
from windtunnel.data.store import open_store
from windtunnel.data.subwords import BytePairs
from windtunnel.scorers.planted import Planted
from windtunnel.scorers.text import Length


def made_corrupted(seed: int = 0) -> Corrupted:
    source = MadeSource(made_documents(60))
    return Corrupted(source=source, shares=[0.0, 0.3, 0.6], held_out=0.2, seed=seed)


def test_every_document_has_the_quality_it_was_given(tmp_path: Path) -> None:
    source, spec = made_corrupted(), BytePairs(vocab_size=300, sample_bytes=10**6)
    store = open_store(source, spec, held_out=0.2, cache=tmp_path, progress=None)
    passages, scorer = Passages(store), Planted(source=source, otherwise=None)
    scorer.fit(passages)
    scores = scorer(list(passages))
    wanted = {str(d.content): q for d, q in source.with_quality() if d.split == "train"}
    assert scores.shape == (len(wanted), 1)
    assert [wanted[passage.text] for passage in passages] == scores[:, 0].tolist()
    assert {round(score, 2) for score in scores[:, 0]} == {1.0, 0.7, 0.4}


def test_another_text_or_source_is_refused(tmp_path: Path) -> None:
    passages = Passages(made_store(tmp_path))
    with pytest.raises(ValueError, match="scorer: expected the documents of the source, got"):
        Planted(source=made_corrupted(), otherwise=None).fit(passages)
    with pytest.raises(ValueError, match="expected a source of planted quality, got MadeSource"):
        Planted(source=MadeSource([]), otherwise=None)


def test_text_in_which_nothing_was_planted_is_scored_otherwise(tmp_path: Path) -> None:
    passages, length = Passages(made_store(tmp_path)), Length(unit="bytes")
    scorer = Planted(source=MadeSource([]), otherwise=length)
    scorer.fit(passages)
    assert scorer(list(passages)).tolist() == length(list(passages)).tolist()
    assert [note.split(":")[0] for note in scorer.notes] == ["no quality is planted in this text"]
    assert Planted(source=made_corrupted(), otherwise=length).notes == []
    trajectory = SimpleNamespace(level="document", columns=("_a", "_b"))
    with pytest.raises(ValueError, match=r"expected one number for each document, got .*_a.*_b"):
        Planted(source=MadeSource([]), otherwise=trajectory)  # type: ignore[arg-type]
