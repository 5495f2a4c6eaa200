"""The loss of an encoder and a decoder of their own sizes, such as in translation.

    L = a N_e^-p_e N_d^-p_d + L_inf

For N_e + N_d given, the loss is lowest where N_e : N_d = p_e : p_d.

Source: Ghorbani et al. 2021, arXiv 2109.07740, equation 1; its reference sizes are in our a.

Axes: S sets of coefficients, M points, P coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Coefficient

EXPONENTS = (0.05, 0.15, 0.3, 0.6)
CONSTANT_SHARES = (0.0, 0.3, 0.6, 0.8, 0.95)


@dataclass(frozen=True)
class EncoderDecoder:
    """L = a N_e^-p_e N_d^-p_d + L_inf."""

    name = "encoder_decoder"
    formula = "L = a N_e^-p_e N_d^-p_d + L_inf"
    columns = ("N_e", "N_d")
    unit_groups = (("N_e",), ("N_d",))
    response = "L"
    constant = "L_inf"
    coefficients = (
        Coefficient("a", "reducible loss in nats with one parameter on each side", 0.0, np.inf),
        Coefficient("p_e", "exponent of the encoder's parameters", 0.0, 3.0),
        Coefficient("p_d", "exponent of the decoder's parameters", 0.0, 3.0),
        Coefficient("L_inf", "loss in nats of an infinite model", 0.0, np.inf),
    )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        return theta_SP[:, [0]] * _power(theta_SP, x) + theta_SP[:, [3]]

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        power_SM = _power(theta_SP, x)
        slope_SM = -theta_SP[:, [0]] * power_SM
        by_p_e_SM, by_p_d_SM = slope_SM * np.log(x["N_e"]), slope_SM * np.log(x["N_d"])
        return np.stack([power_SM, by_p_e_SM, by_p_d_SM, np.ones_like(power_SM)], axis=-1)

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over both exponents and the share of the smallest loss that is constant [S, P]."""
        p_e_S, p_d_S, share_S = np.array(list(product(EXPONENTS, EXPONENTS, CONSTANT_SHARES))).T
        constant_S = share_S * loss_M.min()
        start_SP = np.stack([np.ones_like(p_e_S), p_e_S, p_d_S, constant_S], axis=-1)
        start_SP[:, 0] = (loss_M.mean() - constant_S) / _power(start_SP, x).mean(axis=1)
        return start_SP

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients [S, P] for the columns as they are, from those for column / unit."""
        a_S, p_e_S, p_d_S, constant_S = theta_SP.T
        a_S = a_S * units["N_e"] ** p_e_S * units["N_d"] ** p_d_S
        return np.stack([a_S, p_e_S, p_d_S, constant_S], axis=-1)


def best_split(parameters: Mapping[str, float], n_parameters: float) -> tuple[float, float]:
    """Encoder and decoder sizes with the lowest loss for the given total.

    Raises:
        ValueError: neither side lowers the loss.
    """
    p_e, p_d = parameters["p_e"], parameters["p_d"]
    if p_e + p_d <= 0:
        raise ValueError(
            f"best_split: expected p_e or p_d above 0; got {p_e:g} and {p_d:g}: no side lowers "
            "the loss, so train a wider range of sizes"
        )
    return n_parameters * p_e / (p_e + p_d), n_parameters * p_d / (p_e + p_d)


def _power(theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
    p_e_S1, p_d_S1 = theta_SP[:, [1]], theta_SP[:, [2]]
    return np.exp(-p_e_S1 * np.log(x["N_e"]) - p_d_S1 * np.log(x["N_d"]))
