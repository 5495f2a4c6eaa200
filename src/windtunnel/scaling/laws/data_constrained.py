"""The joint law where tokens are repeated: what a repetition, and a parameter too many, are worth.

    L  = E + A / N'^alpha + B / D'^beta
    D' = U_D + U_D R_D (1 - exp(-(D / U_D - 1) / R_D)),   U_D = min(U, D)
    N' = U_N + U_N R_N (1 - exp(-(N / U_N - 1) / R_N)),   U_N = min(N, N_opt(U))

D counts the tokens trained on, U those that are unique; N_opt(U) is the model that U tokens train
compute-optimally, (alpha A U^beta / (beta B))^(1 / alpha). U is in the unit of D. Without
repetition, and up to that size, this is Chinchilla's law.

Source: Muennighoff et al. 2023, arXiv 2305.16264, equations 5 to 7; R_D and R_N are R*_D and R*_N.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.laws.chinchilla import Chinchilla

CHINCHILLA = Chinchilla()
EXPONENTS = (0.15, 0.35, 0.7)
CONSTANT_SHARES = (0.0, 0.5, 0.8)
SHARES_OF_N = (0.2, 0.5, 0.8)
REPETITIONS = (3.0, 15.0)
LEAST = 1e-6  # a power or logarithm of the coefficient stands in the law: it stays above 0


@dataclass(frozen=True)
class DataConstrained:
    """L = E + A / N'^alpha + B / D'^beta in parameters, tokens, and unique tokens."""

    name = "data_constrained"
    formula = (
        "L = E + A / N'^alpha + B / D'^beta, "
        "D' = U + U R_D (1 - exp(-(D / U - 1) / R_D)), "
        "N' = V + V R_N (1 - exp(-(N / V - 1) / R_N)), "
        "V = min(N, (alpha A U^beta / (beta B))^(1 / alpha))"
    )
    columns = ("N", "D", "U")
    unit_groups = (("N",), ("D", "U"))
    response = "L"
    constant = "E"
    coefficients = (
        Coefficient("A", "loss in nats that one parameter would leave", LEAST, np.inf),
        Coefficient("B", "loss in nats that one training token would leave", LEAST, np.inf),
        Coefficient("E", "loss in nats of an infinite model on infinite data", 0.0, np.inf),
        Coefficient("alpha", "exponent of the parameters", LEAST, 3.0),
        Coefficient("beta", "exponent of the training tokens", LEAST, 3.0),
        Coefficient("R_D", "most that repeating is worth, in epochs of fresh tokens", LEAST, 1e3),
        Coefficient("R_N", "most that excess parameters are worth, in models", LEAST, 1e3),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        R_D_S1, R_N_S1 = theta_SP[:, [5]], theta_SP[:, [6]]
        tokens_SM = effective(x["D"], np.minimum(x["U"], x["D"]), R_D_S1)
        size_SM = effective(x["N"], _useful_size(theta_SP, x), R_N_S1)
        A_S1, B_S1, E_S1, alpha_S1, beta_S1 = (theta_SP[:, [i]] for i in range(5))
        return E_S1 + A_S1 * size_SM**-alpha_S1 + B_S1 * tokens_SM**-beta_S1

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        A_S1, B_S1, _, alpha_S1, beta_S1, R_D_S1, R_N_S1 = (theta_SP[:, [i]] for i in range(7))
        unique_M, useful_SM = np.minimum(x["U"], x["D"]), _useful_size(theta_SP, x)
        tokens_SM = effective(x["D"], unique_M, R_D_S1)
        size_SM = effective(x["N"], useful_SM, R_N_S1)
        N_SM, D_SM = size_SM**-alpha_S1, tokens_SM**-beta_S1
        by_tokens_SM = -beta_S1 * B_S1 * D_SM / tokens_SM
        by_size_SM = -alpha_S1 * A_S1 * N_SM / size_SM
        by_R_D_SM = by_tokens_SM * _by_worth(x["D"], unique_M, R_D_S1)
        by_R_N_SM = by_size_SM * _by_worth(x["N"], useful_SM, R_N_S1)
        # N_opt(U) moves with A, B, alpha and beta wherever it lies below N
        by_log_SM = by_size_SM * _by_unique(x["N"], useful_SM, R_N_S1) * useful_SM / alpha_S1
        by_alpha_SM = by_log_SM * (1 / alpha_S1 - np.log(useful_SM))
        by_beta_SM = by_log_SM * (np.log(x["U"]) - 1 / beta_S1)
        return np.stack(
            [
                N_SM + by_log_SM / A_S1,
                D_SM - by_log_SM / B_S1,
                np.ones_like(N_SM),
                by_alpha_SM - A_S1 * N_SM * np.log(size_SM),
                by_beta_SM - B_S1 * D_SM * np.log(tokens_SM),
                by_R_D_SM,
                by_R_N_SM,
            ],
            axis=-1,
        )

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over exponents, constant, N's share, and what repetitions are worth [S, P]."""
        axes = (EXPONENTS, EXPONENTS, CONSTANT_SHARES, SHARES_OF_N, REPETITIONS, REPETITIONS)
        alpha_S, beta_S, constant_S, share_S, R_D_S, R_N_S = np.array(list(product(*axes))).T
        E_S = constant_S * loss_M.min()
        reducible_S = loss_M.mean() - E_S
        tokens_SM = effective(x["D"], np.minimum(x["U"], x["D"]), R_D_S[:, None])
        A_S = share_S * reducible_S / (x["N"] ** -alpha_S[:, None]).mean(axis=1)
        B_S = (1 - share_S) * reducible_S / (tokens_SM ** -beta_S[:, None]).mean(axis=1)
        return np.stack([A_S, B_S, E_S, alpha_S, beta_S, R_D_S, R_N_S], axis=-1)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        return np.hstack([CHINCHILLA.rescale(theta_SP[:, :5], units), theta_SP[:, 5:]])


def effective(total: ndarray, unique: ndarray, worth: ndarray | float) -> ndarray:
    """Fresh units that `total` with repetitions are worth, where `unique` of them are fresh.

    The first repetitions count almost fully; all of them together count `worth` times `unique`.
    """
    return unique * (1 - worth * np.expm1((1 - total / unique) / worth))


def _by_worth(total: ndarray, unique: ndarray, worth: ndarray) -> ndarray:
    decay = (1 - total / unique) / worth
    return unique * (decay * np.exp(decay) - np.expm1(decay))


def _by_unique(total: ndarray, unique: ndarray, worth: ndarray) -> ndarray:
    decay = (1 - total / unique) / worth
    return 1 - worth * np.expm1(decay) - total / unique * np.exp(decay)


def _useful_size(theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
    A_S1, B_S1, _, alpha_S1, beta_S1 = (theta_SP[:, [i]] for i in range(5))
    log_SM = np.log(alpha_S1 * A_S1 / (beta_S1 * B_S1)) + beta_S1 * np.log(x["U"])
    return np.exp(np.minimum(log_SM / alpha_S1, np.log(x["N"])))
