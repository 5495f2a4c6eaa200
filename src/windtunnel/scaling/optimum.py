"""The model and the tokens with the lowest loss for a budget of FLOPs, with an interval.

Approach 3, from a law of Chinchilla's form fitted to runs, L = E + A / N^alpha + B / D^beta:

    N* = G (C / 6)^(beta / (alpha + beta)),   D* = (C / 6) / N*,   C = 6 N D,
    G = (alpha A / (beta B))^(1 / (alpha + beta))

Approaches 1 (`envelope.py`) and 2 (`isoflop.py`) find N* at some budgets first, and then draw a
straight line through log N* against log C: a `Frontier`. Intervals are quantiles over resamples.

Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3 and equation 4.

Axes: R resamples, K budgets, S sets of coefficients, P coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Law
from windtunnel.scaling.bootstrap import Resamples
from windtunnel.scaling.fit import Fit

FLOPS_FACTOR = 6.0  # C = 6 N D, Kaplan et al. 2020, arXiv 2001.08361, section 2.1


class Joint(NamedTuple):
    """Chinchilla's coefficients but for the constant [S] each."""

    A_S: ndarray
    B_S: ndarray
    alpha_S: ndarray
    beta_S: ndarray


@dataclass(frozen=True)
class Optimum:
    """Parameters N and tokens D for a budget in FLOPs, and the ends of their intervals."""

    flops: float
    N: float
    D: float
    N_low: float
    N_high: float

    @property
    def D_low(self) -> float:
        """Tokens where N is at its upper end."""
        return self.flops / FLOPS_FACTOR / self.N_high

    @property
    def D_high(self) -> float:
        """Tokens where N is at its lower end."""
        return self.flops / FLOPS_FACTOR / self.N_low if self.N_low else np.inf


@dataclass(frozen=True)
class Frontier:
    """log N* = intercept + exponent log C.

    flops_K, N_K: the budgets, and the best size found at each. draws_R2: intercept and exponent of
    each resample. left_out: budgets that were not used and why, in words.
    """

    intercept: float
    exponent: float
    flops_K: ndarray
    N_K: ndarray
    draws_R2: ndarray
    left_out: tuple[str, ...]

    def optimum(self, flops: float, level: float) -> Optimum:
        """The best size for a budget, with the interval that holds it with probability `level`."""
        log_N_R = self.draws_R2 @ np.array([1.0, np.log(flops)])
        return _optimum(flops, self.intercept + self.exponent * np.log(flops), log_N_R, level)


def joint(law: Law, theta_SP: ndarray) -> Joint:
    """The coefficients of Chinchilla's form, from those of a law that has it [S, P].

    Raises:
        ValueError: the law is of another form.
    """
    if law.name in ("chinchilla", "minicpm"):
        A_S, B_S, _, alpha_S, beta_S = theta_SP.T
        return Joint(A_S, B_S, alpha_S, beta_S)
    if law.name == "gadre":
        a_S, b_S, eta_S, _ = theta_SP.T
        six_S = FLOPS_FACTOR**-eta_S
        return Joint(a_S * six_S, b_S * six_S, 2 * eta_S, 2 * eta_S)
    raise ValueError(
        f"optimum: expected a law of Chinchilla's form (chinchilla, minicpm, gadre); got {law.name}"
    )


def best_size(coefficients: Joint, flops: float) -> ndarray:
    """log N* for a budget [S]; infinite where a term of the law has vanished."""
    A_S, B_S, alpha_S, beta_S = coefficients
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio_S = np.log(alpha_S * A_S) - np.log(beta_S * B_S)
        log_C = np.log(flops / FLOPS_FACTOR)
        return (log_ratio_S + beta_S * log_C) / (alpha_S + beta_S)


def parametric(fit: Fit, drawn: Resamples, flops: float, level: float) -> Optimum:
    """Approach 3: the optimum of a fitted law, with its interval over refits.

    Raises:
        ValueError: the law is not of Chinchilla's form, or one of its terms has vanished, so that
            the optimum lies at infinity.
    """
    theta_P = np.array(list(fit.parameters.values()))
    log_N = float(best_size(joint(fit.law, theta_P[None]), flops)[0])
    if not np.isfinite(log_N):
        values = ", ".join(f"{name} = {value:.3g}" for name, value in fit.parameters.items())
        raise ValueError(
            f"optimum: expected a law whose terms in N and D both matter; got {values}: vary both "
            "over a wider range"
        )
    draws_R = best_size(joint(fit.law, fit.law.rescale(drawn.scaled_RP, fit.units)), flops)
    return _optimum(flops, log_N, draws_R, level)


def line(flops_K: ndarray, log_N_RK: ndarray) -> ndarray:
    """Intercept and exponent of the line through log N* against log C, for each row [R, 2]."""
    log_C_K = np.log(flops_K)
    design_K2 = np.stack([np.ones_like(log_C_K), log_C_K - log_C_K.mean()], axis=1)
    middle_R, exponent_R = np.linalg.pinv(design_K2) @ log_N_RK.T
    return np.stack([middle_R - exponent_R * log_C_K.mean(), exponent_R], axis=1)


def _optimum(flops: float, log_N: float, log_N_R: ndarray, level: float) -> Optimum:
    N, low, high = float(np.exp(log_N)), 0.0, np.inf
    known_R = log_N_R[~np.isnan(log_N_R)]
    if len(known_R):
        # an end that falls among infinite draws is one of them, not a mean of them
        ends = np.quantile(known_R, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        low, high = np.exp(ends).tolist()
    return Optimum(flops, N, flops / FLOPS_FACTOR / N, low, high)
