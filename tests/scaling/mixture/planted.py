"""Mixtures with a law that is known, which the tests of this folder share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray

PULL_S = np.array([0.9, -0.6, 0.2, -1.4, 0.5])  # t of the law; the fourth domain helps most
CONSTANT = 2.0


class Rows(NamedTuple):
    weights_MS: ndarray
    loss_M: ndarray


def law(weights_MS: ndarray) -> ndarray:
    """c + exp(t w), the mixing law."""
    return CONSTANT + np.exp(weights_MS @ PULL_S)


def planted(n: int, *, seed: int, sd: float = 0.0) -> Rows:
    rng = np.random.default_rng(seed)
    weights_MS = rng.dirichlet(np.full(len(PULL_S), 0.7), n)
    return Rows(weights_MS, law(weights_MS) + rng.normal(0, sd, n))
