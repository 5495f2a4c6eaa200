from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from tests.data.made import MadeSource
from tests.scorers.made import made_passages, scored
from windtunnel.data.passages import Passages
from windtunnel.data.source import Document
from windtunnel.data.store import open_store
from windtunnel.data.synthetic import draw_chain, entropy_rate, stationary
from windtunnel.data.tokenizer import Bytes
from windtunnel.scorers.ngram import KneserNey, NGram


class Reference:
    """The formula with dictionaries, one n-gram at a time."""

    def __init__(self, documents: list[list[int]], order: int, vocab_size: int) -> None:
        self.order, self.vocab_size = order, vocab_size
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        before: dict[tuple[int, ...], set[Any]] = defaultdict(set)
        for d, ids in enumerate(documents):
            for k in range(order):
                for t in range(k, len(ids)):
                    gram = tuple(ids[t - k : t + 1])
                    self.counts[k][gram] += 1
                    before[gram].add(ids[t - k - 1] if t > k else ("start", d))
        for k in range(order - 1):
            self.counts[k] = Counter({gram: len(before[gram]) for gram in self.counts[k]})

    def p(self, context: tuple[int, ...], token: int) -> float:
        lower = 1 / self.vocab_size if not context else self.p(context[1:], token)
        counts = self.counts[len(context)]
        after = {gram[-1]: n for gram, n in counts.items() if gram[:-1] == context}
        if not after:
            return lower
        ones, twos = (list(counts.values()).count(i) for i in (1, 2))
        discount = ones / (ones + 2 * twos) if ones and twos else 0.5
        rest = discount * len(after) * lower
        return (max(after.get(token, 0) - discount, 0) + rest) / sum(after.values())

    def nats(self, ids: list[int]) -> list[float]:
        contexts = [tuple(ids[max(0, t - self.order + 1) : t]) for t in range(1, len(ids))]
        return [-math.log(self.p(h, w)) for h, w in zip(contexts, ids[1:], strict=True)]


def documents_of(seed: int, lengths: tuple[int, ...]) -> list[ndarray]:
    generator = np.random.default_rng(seed)
    return [np.array([0, *generator.integers(1, 6, n), 0]) for n in lengths]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_formula(order: int) -> None:
    known, new = documents_of(0, (30, 1, 4, 17)), documents_of(1, (9, 1, 12))
    reference = Reference([ids.tolist() for ids in known], order, 8)
    model = KneserNey(known, order=order, vocab_size=8)
    for ids, nats in zip([*new, *known], model.nats([*new, *known]), strict=True):
        assert nats == pytest.approx(reference.nats(ids.tolist()), abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_after_any_context_sum_to_one(order: int) -> None:
    model = KneserNey(documents_of(0, (30, 4, 17)), order=order, vocab_size=7)
    for context in ([0], [0, 3], [2, 5, 1], [6, 6]):
        nats = model.nats([np.array([*context, token]) for token in range(7)])
        assert sum(math.exp(-each[-1]) for each in nats) == pytest.approx(1)


def test_an_order_beyond_the_longest_document_adds_nothing() -> None:
    documents = documents_of(0, (2, 1))
    short, long = (KneserNey(documents, order=n, vocab_size=7) for n in (4, 9))
    for a, b in zip(short.nats(documents), long.nats(documents), strict=True):
        assert a.tolist() == b.tolist()


def test_a_bigram_model_comes_close_to_the_entropy_rate_of_a_chain() -> None:
    table = np.random.default_rng(0).dirichlet(np.full(6, 0.5), 6)
    law = stationary(table)
    known, new = (draw_chain(table, law, 60_000, np.random.default_rng(i)) for i in (1, 2))
    (nats,) = KneserNey([known], order=2, vocab_size=6).nats([new])
    assert nats.mean() == pytest.approx(entropy_rate(table, law), abs=0.01)
    (worse,) = KneserNey([known], order=1, vocab_size=6).nats([new])
    assert worse.mean() > nats.mean() + 0.1


# ------------------------------------------------------------------------------------- the scorer


def two_sorts(cache: Path) -> Passages:
    """Documents of two made languages, each a domain."""
    generator = np.random.default_rng(0)
    words = {"plain": ["rain", "in", "the", "deep", "woods"], "noisy": ["#", "%", "q!", "z0"]}
    documents = [
        Document(name, " ".join(generator.choice(own, 60)) + f" {i}", f"{name} {i}", "train")
        for name, own in words.items()
        for i in range(20)
    ]
    documents.append(Document("plain", "held out", "held out", "held_out"))
    source = MadeSource(documents)
    return Passages(open_store(source, Bytes(), held_out=0.1, cache=cache, progress=None))


def settings(**changes: Any) -> dict[str, Any]:
    return {"order": 3, "domains": None, "fit_tokens": 10**6, "unit": "bits_per_byte", **changes}


@pytest.mark.parametrize("domain", ["plain", "noisy"])
def test_the_language_that_it_was_fitted_to_has_the_lowest_scores(
    tmp_path: Path, domain: str
) -> None:
    passages = two_sorts(tmp_path)
    scorer = NGram(**settings(domains=[domain], fit_tokens=1500))
    scorer.fit(passages)
    scores = scorer(list(passages))[:, 0]
    own = passages.documents.domains == passages.documents.domain_names.index(domain)
    assert scores[own].max() < scores[~own].min()


def test_bits_per_byte_count_all_nats_over_all_bytes(tmp_path: Path) -> None:
    passages = made_passages(tmp_path, ["abab été", "bbba", "ab"])
    nats = scored(NGram(**settings(unit="nats_per_token")), passages)
    bits = scored(NGram(**settings()), passages)
    for text in nats:
        n_bytes = len(text.encode())
        total = nats[text][0] * (n_bytes + 1)  # a token a byte, and the separator behind
        assert bits[text][0] == pytest.approx(total / math.log(2) / n_bytes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 0}, r"scorer\.order: expected 1 token or more, got 0"),
        ({"unit": "ppl"}, r"scorer\.unit: expected bits_per_byte or .* got 'ppl'"),
        ({"domains": ["other"]}, r"scorer\.domains: expected .* made, got other; name some"),
        ({"fit_tokens": 3}, r"scorer\.fit_tokens: expected room for one document .* got 3"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NGram(**settings(**changes)).fit(made_passages(tmp_path, ["abab", "bbba"]))
