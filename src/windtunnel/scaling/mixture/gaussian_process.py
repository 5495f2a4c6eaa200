"""A Gaussian process on the logarithms of the weights, by scikit-learn.

    k(v, w) = s exp(-|ln(v + 0.01) - ln(w + 0.01)|^2 / (2 l^2)) + n [v = w]

with s, l and n those that make the fitted losses most probable; it predicts the mean. Far from all
fitted mixtures that is the mean of their losses, so that nothing far away looks good.

Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, equations 2.23 and
5.8; logarithms of shares: Aitchison 1982, with the floor of `ridge` for domains without a token.

Axes: M mixtures, S domains.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy import ndarray

from windtunnel.scaling.mixture.ridge import FLOOR
from windtunnel.scaling.mixture.surrogate import Predict

SIGNAL, LENGTH, NOISE = (1e-3, 1e3), (1e-2, 1e3), (1e-6, 1.0)  # bounds; of variances and a length


class GaussianProcess:
    """Losses of near mixtures are near; how near is learned."""

    def __init__(self, *, restarts: int, seed: int) -> None:
        """Refuses settings that cannot be used.

        Args:
            restarts: of the search for the scales, beside the one from the middle.
            seed: of where they start.
        """
        if restarts < 0:
            raise ValueError(f"restarts: expected at least 0, got {restarts}; 2 are enough")
        self.restarts, self.seed = restarts, seed

    def fit(self, weights_MS: ndarray, loss_M: ndarray) -> Predict:
        """Learns the three scales."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        kernel = ConstantKernel(1.0, SIGNAL) * RBF(1.0, LENGTH) + WhiteKernel(1e-2, NOISE)
        process = GaussianProcessRegressor(
            kernel,
            normalize_y=True,
            n_restarts_optimizer=self.restarts,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # A scale at its bound, as the noise of losses without any.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(features(weights_MS), loss_M)
        return lambda new_MS: np.asarray(process.predict(features(new_MS)))


def features(weights_MS: ndarray) -> ndarray:
    """The logarithms of the weights above a floor [M, S]."""
    return np.log(weights_MS + FLOOR)
