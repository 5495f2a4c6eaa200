from __future__ import annotations

import pickle
import re
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made import made_store, sentence
from tests.data.scored import scored
from windtunnel.data import scores
from windtunnel.data.composed import ComposedSampler, Setting
from windtunnel.data.documents import Documents
from windtunnel.data.lengthening import Growing
from windtunnel.data.limits import Limits
from windtunnel.data.mixture import Fixed, Phases, Temperature, UniMax
from windtunnel.data.order import Folded, Interleaved, Paced, Shuffled, Sorted
from windtunnel.data.pacing import competence
from windtunnel.data.packing import held_out_name
from windtunnel.data.selection import Random, Threshold, Top

LENGTH = 40
SCORED: dict[str, Any] = {"score": "wave", "descending": False}
ORDERS: dict[str, Any] = {
    "shuffled": Shuffled(),
    "sorted": Sorted(**SCORED),
    "folded": Folded(**SCORED, folds=3),
    "interleaved": Interleaved(**SCORED, bands=3),
    "paced": Paced(**SCORED, pacing=partial(competence, start=0.1, until=0.6, power=2.0)),
}
MIXTURES: dict[str, Any] = {
    "none": None,
    "natural": Temperature(alpha=1.0),
    "unimax": UniMax(epochs=2.0),
    "phases": Phases(
        phases=[
            {"until": 0.5, "weights": {"a": 0.9, "b": 0.1}},
            {"until": 1.0, "weights": {"a": 0.05, "c": 0.95}},
        ]
    ),
}
SELECTIONS: dict[str, Any] = {
    "all": None,
    "best": Top(score="quality", fraction=0.5, lowest=False, by_domain=True),
    "drawn": Random(fraction=0.3, by_domain=True),
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return scored(tmp_path_factory.mktemp("cache"))


def composed(documents: Documents, **changes: Any) -> ComposedSampler:
    sizes = {"n_batch": 4, "n_sequences": 200, "seed": 3, "length": LENGTH}
    run = {name: changes.pop(name, value) for name, value in sizes.items()}
    stages: dict[str, Any] = {
        "selection": None,
        "order": Shuffled(),
        "mixture": None,
        "limits": Limits(epochs=1.0, beyond="repeat"),
        "length": changes.pop("growing", None),
    }
    return ComposedSampler(Setting(documents.store, **run), **{**stages, **changes})


def sequences(sampler: ComposedSampler, steps: int) -> np.ndarray:
    return np.concatenate([sampler.rows(k) for k in range(steps)])


def numbers(tokens: np.ndarray) -> set[int]:
    """Which made-up sentences stand whole in a window, by the number that each ends with."""
    text = bytes(tokens[tokens < 256].astype(np.uint8)).decode()
    return {int(n) for n in re.findall(r"number (\d+)\.\n", text)}


combinations = st.builds(
    dict,
    selection=st.sampled_from(sorted(SELECTIONS)),
    order=st.sampled_from(sorted(ORDERS)),
    mixture=st.sampled_from(sorted(MIXTURES)),
)


def chosen(names: dict[str, str]) -> dict[str, Any]:
    return {
        "selection": SELECTIONS[names["selection"]],
        "order": ORDERS[names["order"]],
        "mixture": MIXTURES[names["mixture"]],
    }


@given(names=combinations, seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_serves_only_what_is_selected_and_nothing_held_out(
    documents: Documents, names: dict[str, str], seed: int
) -> None:
    sampler = composed(documents, seed=seed, length=90, **chosen(names))
    kept = set(range(len(documents)))
    if chosen(names)["selection"] is not None:
        kept = set(chosen(names)["selection"](documents, seed).tolist())
    held = set()
    for i in range(3):
        held |= numbers(documents.store.stream(held_out_name(i)))
    assert held
    shown: set[int] = set()
    for row in sequences(sampler, 30):
        pieces = list(sampler.view.pieces(int(row)))
        assert {document for document, _, _ in pieces} <= kept
        tokens, domain = sampler.window(int(row))
        assert domain == documents.domains[pieces[0][0]]
        firsts = documents.firsts
        parts = [documents.stream[firsts[d] + s : firsts[d] + s + n] for d, s, n in pieces]
        assert tokens.tolist() == np.concatenate(parts).tolist()
        shown |= numbers(tokens)
    assert shown
    assert not shown & held


@given(names=combinations)
@settings(max_examples=10, deadline=None)
def test_is_a_function_of_seed_and_step(documents: Documents, names: dict[str, str]) -> None:
    forward = composed(documents, **chosen(names))
    rows = [forward.rows(k).tolist() for k in range(25)]
    backward = composed(documents, **chosen(names))
    assert [backward.rows(k).tolist() for k in reversed(range(25))][::-1] == rows
    assert backward.digest == forward.digest
    whole = composed(documents, n_batch=20, **chosen(names))
    assert [whole.rows(k).tolist() for k in range(5)] == np.reshape(rows, (5, 20)).tolist()
    packed = pickle.loads(pickle.dumps(composed(documents, **chosen(names))))
    assert packed.rows(7).tolist() == rows[7]


@given(
    weights=st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any),
    order=st.sampled_from(sorted(ORDERS)),
)
@settings(max_examples=15, deadline=None)
def test_proportions_are_kept_at_every_step(
    documents: Documents, weights: list[int], order: str
) -> None:
    asked = np.array(weights) / sum(weights)
    mixture = Fixed(weights=dict(zip("abc", asked.tolist(), strict=True)))
    sampler = composed(documents, order=ORDERS[order], mixture=mixture)
    domains = [sampler.window(int(row))[1] for row in sequences(sampler, 50)]
    counts = (np.array(domains) == np.arange(3)[:, None]).cumsum(1)
    assert (np.abs(counts - asked[:, None] * np.arange(1, 201)) < 1 + 1e-5).all()


@given(descending=st.booleans(), length=st.integers(1, 400), mixed=st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_curriculum_shows_every_document_once_in_the_order_of_its_score(
    documents: Documents, descending: bool, length: int, mixed: bool
) -> None:
    sampler = composed(
        documents,
        n_batch=1,
        length=length,
        order=Sorted(score="quality", descending=descending),
        mixture=Temperature(alpha=1.0) if mixed else None,
    )
    view = sampler.view
    values = documents.score("quality") * (-1 if descending else 1)
    n_pass = int(view.n_rows.max() * len(documents) / documents.n_tokens(np.arange(9)).min())
    rows = sequences(sampler, min(n_pass, 5000))
    for g in range(3 if mixed else 1):
        own = rows[(rows >= view.offsets[g]) & (rows < view.offsets[g + 1])] - view.offsets[g]
        assert own.tolist() == (np.arange(len(own)) % view.n_rows[g]).tolist()
        seen: list[tuple[int, int]] = []
        for row in range(view.n_rows[g]):
            for document, skip, n in view.pieces(int(row + view.offsets[g])):
                seen += [(document, skip + i) for i in range(n)][: length if n > length else n]
            seen = seen[: (row + 1) * length]  # the last token of a row begins the next one
        seen = seen[: view.n_tokens[g]]
        group = np.flatnonzero(documents.domains == g) if mixed else np.arange(len(documents))
        assert len(set(seen)) == len(seen) == documents.n_tokens(group).sum()
        order = list(dict.fromkeys(document for document, _ in seen))
        assert sorted(order) == group.tolist()
        assert (np.diff(values[order]) >= 0).all()


def test_what_the_record_says(documents: Documents) -> None:
    mixture = Fixed(weights={"a": 0.5, "b": 0.5})
    sampler = composed(documents, mixture=mixture, n_sequences=100)
    facts = sampler.facts()
    assert facts["order"] == sampler.digest
    assert set(facts["groups"]) == {"a", "b", "c"}
    a, c = facts["groups"]["a"], facts["groups"]["c"]
    own = np.flatnonzero(documents.domains == 0)
    assert a["documents"] == len(own)
    assert a["tokens"] == documents.n_tokens(own).sum()
    assert a["sequences"] == 50
    assert a["epochs"] == 50 / np.ceil(a["tokens"] / LENGTH)
    assert (c["sequences"], c["epochs"]) == (0, 0)
    assert sampler.warnings == [
        f"{name} is seen {group['epochs']:.1f} times over"
        for name, group in facts["groups"].items()
        if group["epochs"] > 1
    ]
    assert sampler.warnings
    (everything,) = composed(documents).facts()["groups"].values()
    assert everything["documents"] == len(documents)
    assert everything["sequences"] == 200


def test_a_budget_of_exactly_one_pass_is_no_repetition(documents: Documents) -> None:
    n_tokens = int(documents.n_tokens(np.arange(len(documents))).sum())
    refuse = Limits(epochs=1.0, beyond="refuse")
    for mixture in (None, Temperature(alpha=1.0)):
        sizes = {"n_sequences": n_tokens // LENGTH, "mixture": mixture, "limits": refuse}
        assert composed(documents, **sizes).warnings == []


def test_pieces_grow_over_the_budget(documents: Documents) -> None:
    growing = Growing(first=8, multiple=8, until=0.5, power=1.0)
    sampler = composed(documents, growing=growing)
    assert composed(documents).lengths(0) is None
    first = sampler.lengths(0)
    assert first is not None
    assert first.tolist() == [8] * 4
    middle = sampler.lengths(12)
    assert middle is not None
    assert middle.tolist() == [16, 16, 24, 24]
    assert sampler.lengths(25) is None
    assert sampler.lengths(10**6) is None


def test_the_digest_is_of_all_that_decides_the_order(documents: Documents, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"n_sequences": 300},
        {"length": 41},
        {"order": ORDERS["sorted"]},
        {"order": Sorted(score="wave", descending=True)},
        {"mixture": MIXTURES["natural"]},
        {"mixture": MIXTURES["unimax"]},
        {"selection": SELECTIONS["best"]},
        {"selection": SELECTIONS["drawn"]},
        {"growing": Growing(first=8, multiple=8, until=0.5, power=1.0)},
    ]
    digests = [composed(documents, **change).digest for change in changes]
    assert len(set(digests)) == len(digests)
    other_scores = scored(tmp_path, wave=np.cos(np.arange(len(documents))))
    assert other_scores.store.folder.name == documents.store.folder.name
    assert composed(other_scores).digest == digests[0]
    assert composed(other_scores, order=ORDERS["sorted"]).digest != digests[3]


def test_the_digest_is_the_same_in_another_process(documents: Documents) -> None:
    # There the function of the pace lies elsewhere in memory, which its text says.
    elsewhere = FunctionType(competence.__code__, competence.__globals__, "competence")
    assert repr(elsewhere) != repr(competence)
    digests = {
        composed(documents, order=Paced(**SCORED, pacing=partial(pace, start=start))).digest
        for pace in (competence, elsewhere)
        for start in (0.1, 0.2)
    }
    assert len(digests) == 2


def test_documents_without_a_score_are_not_shown(documents: Documents) -> None:
    sampler = composed(documents, order=Sorted(score="gaps", descending=True))
    assert sampler.facts()["groups"]["all the text"]["documents"] == (len(documents) + 1) // 2


def test_an_empty_selection_is_refused(documents: Documents) -> None:
    with pytest.raises(ValueError, match=r"sampler\.selection: expected a selection that keeps"):
        composed(documents, selection=Threshold(score="wave", low=2.0, high=None))


def test_scores_of_no_document_are_refused(tmp_path: Path) -> None:
    documents = scored(tmp_path)
    none = np.full(len(documents), -np.inf)
    scores.write(documents.store.folder, "none", none, facts={"scorer": "made"})
    with pytest.raises(ValueError, match=r"sampler\.order\.score: expected scores for some"):
        composed(documents, order=Sorted(score="none", descending=False))


def test_a_missing_column_and_one_of_another_store_are_refused(
    documents: Documents, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"score nowhere: expected a column of the store"):
        composed(documents, order=Sorted(score="nowhere", descending=False))
    other = Documents(made_store(tmp_path, held_out=0.5))
    file = scores.write(other.store.folder, "far", np.zeros(len(other)), facts={"scorer": "made"})
    with pytest.raises(ValueError, match=r"expected a column of the store \w+, got one of \w+"):
        composed(documents, order=Sorted(score=str(file), descending=False))


def test_an_exhausted_domain_is_refused_where_that_is_asked(documents: Documents) -> None:
    with pytest.raises(ValueError, match=r"takes no text more than 1 times, got more of c"):
        composed(
            documents,
            mixture=Fixed(weights={"c": 1.0}),
            limits=Limits(epochs=1.0, beyond="refuse"),
        )


def test_a_domain_without_selected_text_is_refused(documents: Documents) -> None:
    (first,) = np.flatnonzero(documents.domains == 0)[:1]
    value = float(documents.score("wave")[first])
    with pytest.raises(ValueError, match=r"got some for b, of which the selection leaves nothing"):
        composed(
            documents,
            selection=Threshold(score="wave", low=value, high=value),
            mixture=Fixed(weights={"a": 0.5, "b": 0.5}),
        )


def test_sentences_are_found_by_their_number() -> None:
    text = np.frombuffer(sentence(17).encode(), np.uint8)
    assert numbers(text) == {17}
    assert numbers(text[:-3]) == set()
