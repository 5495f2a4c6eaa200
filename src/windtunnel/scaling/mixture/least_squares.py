"""A loss that is linear in the mixture weights.

    L(w) = b + sum_s a_s w_s

by least squares. The weights sum to one, so b is not determined; predictions are. The best mixture
of such a law is always a corner, one domain alone: bounds must keep it from there.

Source: Liu et al. 2024 (RegMix), arXiv 2407.01492, section 3.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.surrogate import Predict, with_intercept


@dataclass(frozen=True)
class LeastSquares:
    """Has no settings."""

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """The least-squares plane; of several, the one with the smallest coefficients."""
        coefficients, *_ = np.linalg.lstsq(with_intercept(weights_MS), loss_M)
        return lambda new_MS: with_intercept(new_MS) @ coefficients
