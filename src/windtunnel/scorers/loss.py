"""Scores of documents by what trained models make of them.

With L_m(x) the mean -ln p of the tokens of x under model m, the separator behind it included, or of
the first ones alone:

    loss          L_m(x)
    difference    L_small(x) - L_large(x)       high where the larger model has learned more
    trajectory    L_{m_1}(x), L_{m_2}(x), ...   under the checkpoints of one training
    excess        -ln p_model(t) + ln p_reference(t), of every token t

Source: difference, Gu et al. 2024 (MiniPLM), arXiv 2410.17215, equation 4, there of rows of equal
length, hence sums; trajectory, Yang et al. 2024 (S2L), arXiv 2403.07384, section 4; excess, Lin et
al. 2024 (Rho-1), arXiv 2404.07965, equation 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

from windtunnel.data.passages import Passage, Passages
from windtunnel.scorers.windows import Model, mean_nats, nats_of


class Loss:
    """Mean loss of a document under a model, in nats per token."""

    level = "document"
    columns = ("",)

    def __init__(self, *, model: Model, first_tokens: int | None) -> None:
        self._model, self._first_tokens = model, _checked(first_tokens)

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        return mean_nats(self._model, _openings(passages, self._first_tokens))[:, None]


class Difference:
    """Mean loss under a small model less that under a large one, in nats per token."""

    level = "document"
    columns = ("",)

    def __init__(self, *, small: Model, large: Model, first_tokens: int | None) -> None:
        self._small, self._large, self._first_tokens = small, large, _checked(first_tokens)

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1]."""
        documents = _openings(passages, self._first_tokens)
        return (mean_nats(self._small, documents) - mean_nats(self._large, documents))[:, None]


class Trajectory:
    """Mean loss of a document under each of several checkpoints: a column for each of them."""

    level = "document"

    def __init__(self, *, models: Mapping[str, Model], first_tokens: int | None) -> None:
        self._models, self._first_tokens = dict(models), _checked(first_tokens)
        self.columns = tuple(f"_{name}" for name in self._models)

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, checkpoints]."""
        documents = _openings(passages, self._first_tokens)
        return np.stack([mean_nats(model, documents) for model in self._models.values()], 1)


def _openings(passages: Sequence[Passage], first_tokens: int | None) -> list[ndarray]:
    """Ids of the passages, as far as they are read."""
    end = None if first_tokens is None else first_tokens + 1  # the first id predicts the second
    return [passage.ids[:end] for passage in passages]


def _checked(first_tokens: int | None) -> int | None:
    if first_tokens is not None and first_tokens < 1:
        raise ValueError(
            f"scorer.first_tokens: expected at least 1, or null for all of a document, got "
            f"{first_tokens}; raise it"
        )
    return first_tokens


class Excess:
    """Loss of every token under a model less that under a reference, in nats.

    The score of a token stands at its place in the stream; that of the first token of all is 0.
    """

    level = "token"
    columns = ("",)

    def __init__(self, *, model: Model, reference: Model) -> None:
        self._model, self._reference = model, reference

    def fit(self, passages: Passages) -> None:
        """Has nothing to learn."""

    def __call__(self, passages: Sequence[Passage]) -> ndarray:
        """Scores [n, 1] of all tokens of the passages but their first, one after the other."""
        documents = [p.ids for p in passages]
        own, reference = (nats_of(model, documents) for model in (self._model, self._reference))
        return (np.concatenate(own) - np.concatenate(reference))[:, None]
