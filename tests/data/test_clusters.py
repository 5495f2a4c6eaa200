from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.data.scored import table
from windtunnel.data.clusters import Clusters, balanced

FAMILIES = np.array(
    [[3, 1, 0.5], [3, 2.8, 1], [3, 1, 2.5], [3, 3, 3]]
)  # fast, slow, forgotten, flat


def planted() -> tuple[Any, np.ndarray]:
    """Documents with trajectories of four families, most of them of the first."""
    generator = np.random.default_rng(0)
    family = generator.choice(4, 200, p=[0.7, 0.1, 0.1, 0.1])
    noisy = FAMILIES[family] + generator.normal(0, 0.02, (200, 3))
    return table(200, **{f"loss_{i}": noisy[:, i] for i in range(3)}), family


def clusters(**changes: Any) -> Clusters:
    settings: dict[str, Any] = {
        "scores": ["loss_0", "loss_1", "loss_2"],
        "fraction": 0.5,
        "n_clusters": 4,
        "iterations": 20,
        "by_domain": False,
    }
    return Clusters(**{**settings, **changes})


def test_water_fills_clusters_from_the_smallest() -> None:
    sizes = (200, 3, 50, 10)
    labels = np.repeat(range(4), sizes)
    group = np.random.default_rng(1).permutation(263)
    kept = balanced(group, labels, 100, np.random.default_rng(2).random(263))
    assert len(set(kept.tolist())) == 100
    counts = np.bincount(labels[np.isin(group, kept)])
    assert counts.tolist() == [44, 3, 43, 10]  # S2L's quotas


def test_the_smallest_clusters_come_last() -> None:
    labels = np.repeat(range(3), (2, 1, 5))
    keys = np.arange(8.0)
    assert sorted(balanced(np.arange(8), labels, 4, keys)) == [4, 5, 6, 7]
    assert sorted(balanced(np.arange(8), labels, 7, keys)) == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(balanced(np.arange(8), labels, 8, keys)) == list(range(8))


def test_planted_families_are_found_and_balanced() -> None:
    documents, family = planted()
    chosen = clusters()
    labels = chosen._cluster(np.stack([documents.score(n) for n in chosen.scores], 1), 1)
    assert len({(a, b) for a, b in zip(labels, family, strict=True)}) == 4  # one label each
    kept = chosen(documents, 1)
    assert len(kept) == round(0.5 * len(documents))
    assert kept.tolist() == sorted(set(kept.tolist()))
    rare = np.bincount(family[kept]) / np.bincount(family)
    assert (rare[1:] > rare[0]).all()
    assert chosen(documents, 1).tolist() == kept.tolist()
    assert chosen(documents, 2).tolist() != kept.tolist()


def test_domains_share_evenly() -> None:
    documents, _ = planted()
    kept = clusters(fraction=0.3, by_domain=True, n_clusters=100)(documents, 1)
    assert len(kept) == round(0.3 * len(documents))
    assert np.ptp(np.bincount(documents.domains[kept])) <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 0.0}, r"fraction: expected above 0 and up to 1, got 0\.0"),
        ({"n_clusters": 0}, r"n_clusters: expected at least 1, got 0"),
        ({"iterations": 0}, r"iterations: expected at least 1, got 0"),
        ({"scores": []}, r"scores: expected the columns of a trajectory, got none"),
    ],
)
def test_bad_settings_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sampler\.selection\.{message}"):
        clusters(**changes)
