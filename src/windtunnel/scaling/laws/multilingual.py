"""The loss of one language family by size, tokens, and the family's share of the sampling.

    L = (E + A / N^alpha + B / D^beta) p^-gamma

D counts the tokens of all families. The exponent gamma is free of N and D: so the shares that
minimise sum w_i L_i at one size are those of a large model. With L*_i, the loss of family i alone
(p = 1), they make the derivative of sum w_i L*_i p_i^-gamma_i the same for all p_i:

    p_i^(1 + gamma_i)  proportional to  w_i gamma_i L*_i,   sum p_i = 1

Source: He et al. 2024, arXiv 2410.12883.

Axes: S sets of coefficients, M points, P coefficients, F language families.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray
from scipy import optimize

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.laws.chinchilla import Chinchilla

CHINCHILLA = Chinchilla()
EXPONENTS = (0.02, 0.1, 0.3)


@dataclass(frozen=True)
class Multilingual:
    """L = (E + A / N^alpha + B / D^beta) p^-gamma, of one family."""

    name = "multilingual"
    formula = "L = (E + A / N^alpha + B / D^beta) p^-gamma"
    columns = ("N", "D", "p")
    unit_groups = (("N",), ("D",), ("p",))
    response = "L"
    constant = "E"
    coefficients = (
        *CHINCHILLA.coefficients[:2],
        Coefficient("E", "loss in nats of an infinite model on this family alone", 0.0, np.inf),
        *CHINCHILLA.coefficients[3:],
        Coefficient("gamma", "exponent of the family's share: how fast sampling pays", 0.0, 3.0),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        return CHINCHILLA.predict(theta_SP[:, :5], x) * x["p"] ** -theta_SP[:, [5]]

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        share_SM = x["p"] ** -theta_SP[:, [5]]
        joint_SMP = CHINCHILLA.gradient(theta_SP[:, :5], x) * share_SM[..., None]
        by_gamma_SM = -self.predict(theta_SP, x) * np.log(x["p"])
        return np.concatenate([joint_SMP, by_gamma_SM[..., None]], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """Those of Chinchilla's law at the mean share, with each exponent of the share [S, P]."""
        joint_SP = CHINCHILLA.starts(x, loss_M)
        pairs = list(product(range(len(joint_SP)), EXPONENTS))
        rows_S, gamma_S = (np.array(values) for values in zip(*pairs, strict=True))
        start_SP = np.column_stack([joint_SP[rows_S], gamma_S])
        start_SP[:, :3] /= (x["p"] ** -gamma_S[:, None]).mean(axis=1)[:, None]
        return start_SP

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        joint_SP = CHINCHILLA.rescale(theta_SP[:, :5], units)
        joint_SP[:, :3] *= units["p"] ** theta_SP[:, [5]]
        return np.hstack([joint_SP, theta_SP[:, 5:]])


def optimal_shares(weights: ndarray, gamma: ndarray, loss: ndarray) -> ndarray:
    """The shares [F] that minimise the weighted loss of all families; they sum to one.

    Args:
        weights: what a nat of each family counts, above 0 [F].
        gamma: exponent of each family's share, above 0 [F].
        loss: loss in nats of each family alone, at p = 1 [F].

    Raises:
        ValueError: a value is not above 0.
    """
    pull_F = np.asarray(weights, float) * np.asarray(gamma, float) * np.asarray(loss, float)
    if not (np.min([weights, gamma, loss]) > 0):
        raise ValueError(
            f"shares: expected weights, gamma and losses above 0; got {weights}, {gamma} and "
            f"{loss}: leave out a family that does not matter or does not learn"
        )
    log_pull_F, power_F = np.log(pull_F), 1 / (1 + np.asarray(gamma, float))

    def excess(log_level: float) -> float:
        return float(np.exp(power_F * (log_pull_F - log_level)).sum() - 1)

    low, high = log_pull_F.min(), log_pull_F.max() + np.log(len(pull_F)) / power_F.min()
    level = optimize.brentq(excess, low, high, xtol=1e-13) if len(pull_F) > 1 else log_pull_F[0]
    share_F = np.exp(power_F * (log_pull_F - level))
    return share_F / share_F.sum()
