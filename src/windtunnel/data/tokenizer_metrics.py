"""What a tokenizer makes of a text, apart from any model.

    fertility        tokens / words
    bytes_per_token  UTF-8 bytes / tokens
    continued        share of the words that are cut into more than one token
    shannon, renyi   H_a = ln(sum_v p_v^a) / (1 - a) nats, a = 1 in the limit, and a = `alpha`
    ... efficiency   H_a / ln V

p_v is the share of id v among the tokens, V the number of ids. The separators of documents count
neither as tokens nor in V. A word is a run of bytes without ASCII white space, so a language that
puts none between its words has few words.

Source: the efficiency, and alpha = 2.5: Zouhar et al. 2023, arXiv 2306.16842; the others are
textbook.

Axes: N tokens, V vocabulary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from windtunnel.data.packing import held_out_name
from windtunnel.data.store import Store

_WORD = re.compile(rb"\S+")


def entropy(p_V: ndarray, alpha: float) -> float:
    """Renyi's H_alpha of shares that sum to 1, in nats; Shannon's for alpha 1."""
    known = p_V[p_V > 0]
    if alpha == 1:
        return float(-(known * np.log(known)).sum())
    return math.log(float((known**alpha).sum())) / (1 - alpha)


def cut_words(text: bytes, lengths_N: ndarray) -> tuple[int, int]:
    """How many words a text has, and how many of them a border between two tokens cuts.

    lengths_N: bytes of every token of the text.
    """
    spans = np.array([match.span() for match in _WORD.finditer(text)]).reshape(-1, 2)
    borders = np.cumsum(lengths_N)[:-1]
    before_end = np.searchsorted(borders, spans[:, 1], "left")
    up_to_start = np.searchsorted(borders, spans[:, 0], "right")
    return len(spans), int((before_end > up_to_start).sum())


def measure(store: Store, *, alpha: float) -> dict[str, float | None]:
    """All of them on the held-out text of a store; `continued` is None where ids hide their bytes.

    Raises:
        ValueError: alpha is no order of an entropy, or the store holds ids in place of text.
    """
    if not alpha > 0:
        raise ValueError(f"callbacks.tokenizer.measure.alpha must be above 0, got {alpha}: try 2.5")
    tokenizer = store.tokenizer
    if tokenizer.eot is None:
        raise ValueError(
            "callbacks.tokenizer: expected a tokenizer of text, got one for a source of token ids; "
            "set callbacks=default"
        )
    counts_V = np.zeros(tokenizer.vocab_size, np.int64)
    n_bytes = n_words = n_cut = 0
    known = tokenizer.byte_lengths is not None
    for ids_N in _documents(store, tokenizer.eot):
        counts_V += np.bincount(ids_N, minlength=len(counts_V))
        text = tokenizer.decode(ids_N.tolist()).encode()
        lengths_N = np.zeros(0, np.int64)
        if tokenizer.byte_lengths is not None:
            lengths_N = tokenizer.byte_lengths[ids_N]
        known = known and int(lengths_N.sum()) == len(text)
        words, cut = cut_words(text, lengths_N)
        n_bytes, n_words, n_cut = n_bytes + len(text), n_words + words, n_cut + cut
    n_tokens, n_ids = int(counts_V.sum()), tokenizer.vocab_size - 1
    found: dict[str, float | None] = {
        "tokens": n_tokens,
        "bytes": n_bytes,
        "words": n_words,
        "ids": n_ids,
        "ids_used": int((counts_V > 0).sum()),
        "fertility": n_tokens / max(n_words, 1),
        "bytes_per_token": n_bytes / max(n_tokens, 1),
        "continued": n_cut / max(n_words, 1) if known else None,
    }
    for name, order in (("shannon", 1.0), ("renyi", alpha)):
        nats = entropy(counts_V / max(n_tokens, 1), order)
        found |= {name: nats, f"{name}_efficiency": nats / math.log(n_ids)}
    return found


def _documents(store: Store, eot: int) -> Iterator[ndarray]:
    """Ids of every held-out document, without its separator."""
    for domain in range(len(store.domains)):
        stream = store.stream(held_out_name(domain))
        borders = np.flatnonzero(stream == eot)
        for start, end in zip(borders[:-1] + 1, borders[1:], strict=True):
            yield stream[start:end].astype(np.int64)
