"""What a regressor of losses on mixture weights is: it is fitted once and then predicts.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy import ndarray

Predict = Callable[[ndarray], ndarray]  # mixture weights [M, S] to losses in nats [M]


class Regressor(Protocol):
    """Fits losses to mixtures."""

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """What predicts the loss of any mixture, from mixtures [M, S] and their losses [M]."""
        ...


def with_intercept(features_MP: ndarray) -> ndarray:
    """The features and a column of ones [M, P + 1]."""
    return np.column_stack([features_MP, np.ones(len(features_MP))])
