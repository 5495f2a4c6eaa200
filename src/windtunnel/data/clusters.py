"""S2L: documents that a small model learns alike are clustered, and every cluster gives as many.

A document's trajectory is its score at several checkpoints. The documents wanted are shared evenly
over the domains and then over the clusters of each, the smallest first: one that has less gives all
it has, and the rest share what is left. Within a cluster documents are drawn evenly. Clusters of
one or two are taken last.
Source: Yang et al. 2024 (SmallToLarge), arXiv 2403.07384, algorithm 1, and the order of its code,
BigML-CS-UCLA/S2L. `fraction` is one of documents here, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.data.documents import Documents
from windtunnel.data.held_out import share_evenly
from windtunnel.data.selection import check_fraction, gumbel, strata

_SMALL = 2  # S2L's code: clusters of up to so many are taken last


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Balanced over clusters of trajectories; `scores` are the columns of a trajectory."""

    scores: Sequence[str]
    fraction: float
    n_clusters: int
    iterations: int
    by_domain: bool

    def __post_init__(self) -> None:
        check_fraction(self.fraction)
        for name, value in (("n_clusters", self.n_clusters), ("iterations", self.iterations)):
            if value < 1:
                raise ValueError(
                    f"sampler.selection.{name}: expected at least 1, got {value}; raise it"
                )
        if not self.scores:
            raise ValueError(
                "sampler.selection.scores: expected the columns of a trajectory, got none; name "
                "the scores of a document under several checkpoints"
            )

    def __call__(self, documents: Documents, seed: int) -> ndarray:
        trajectories = np.stack([documents.score(name) for name in self.scores], 1)
        scored = np.all(np.isfinite(trajectories), axis=1)
        groups = [g[scored[g]] for g in strata(documents, by_domain=self.by_domain)]
        wanted = round(self.fraction * sum(map(len, groups)))
        keys = gumbel(len(documents), seed)
        kept = [
            balanced(group, self._cluster(trajectories[group], seed), share, keys)
            for group, share in zip(
                groups, share_evenly(list(map(len, groups)), wanted), strict=True
            )
        ]
        return np.sort(np.concatenate(kept))

    def _cluster(self, trajectories: ndarray, seed: int) -> ndarray:
        from sklearn.cluster import KMeans  # slow to import, and most runs need none

        if not len(trajectories):
            return np.zeros(0, np.int64)
        n_clusters = min(self.n_clusters, len(np.unique(trajectories, axis=0)))
        k_means = KMeans(n_clusters, max_iter=self.iterations, random_state=seed)
        return k_means.fit_predict(trajectories.astype(float))


def balanced(group: ndarray, labels: ndarray, wanted: int, keys: ndarray) -> ndarray:
    """So many documents of a group [m], shared evenly over clusters by their labels [m].

    keys: which documents of a cluster come first, for all documents [n].
    """
    clusters = [group[labels == label] for label in np.unique(labels)]
    large = [cluster for cluster in clusters if len(cluster) > _SMALL]
    small = [cluster for cluster in clusters if len(cluster) <= _SMALL]
    shares = share_evenly(list(map(len, large)), wanted)
    taken = [_first(*pair, keys) for pair in zip(large, shares, strict=True)]
    left = wanted - sum(shares)
    rest = np.concatenate([np.zeros(0, group.dtype), *small])
    return np.concatenate([*taken, _first(rest, left, keys)])


def _first(documents: ndarray, n: int, keys: ndarray) -> ndarray:
    return documents[np.argsort(-keys[documents], kind="stable")[:n]]
