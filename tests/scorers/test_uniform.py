from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.scorers.made import made_passages
from windtunnel.scorers.uniform import Uniform


def test_numbers_are_drawn_by_seed_whatever_is_scored_together(tmp_path: Path) -> None:
    passages = made_passages(tmp_path, [f"text {i}" for i in range(200)])
    scorer = Uniform(seed=3)
    scorer.fit(passages)
    whole = scorer(list(passages))
    assert (np.concatenate([scorer([p]) for p in passages]) == whole).all()
    assert abs(whole.mean() - 0.5) < 0.1
    assert len(np.unique(whole)) == 200
    other = Uniform(seed=4)
    other.fit(passages)
    assert (other(list(passages)) != whole).all()
