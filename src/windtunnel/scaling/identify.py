"""How well the data fix each coefficient, and what to say where they do not.

    cov = s^2 (J'WJ)^-1 over the coefficients that are off their bounds

J is the derivative of the fitted curve by the coefficients, s^2 the noise (`noise.py`). A
coefficient is called unidentified when its 95 % Student-t interval is wider than its value, with
the columns in units of their geometric means; the constant, when it is wider than the range of the
fitted losses.

Source: the linear approximation of Seber and Wild, Nonlinear Regression, 1989, section 2.1.2; the
limits are our choice.

Axes: M points, P coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from scipy import stats

from windtunnel.interfaces import Law
from windtunnel.scaling.noise import Noise

LARGEST_SHARE = 0.5
COLLAPSED_SHARE = 0.01
FEWEST_DEGREES = 2
SMALLEST_EIGENVALUE = 1e-13


def on_bound(law: Law, theta_P: ndarray) -> ndarray:
    """Which coefficients sit on a bound [P]."""
    low_P = np.array([c.low for c in law.coefficients])
    high_P = np.array([c.high for c in law.coefficients])
    return (theta_P <= low_P) | (theta_P >= high_P)


def standard_errors(jacobian_MP: ndarray, mean_square: float, bound_P: ndarray) -> ndarray:
    """Standard error of each coefficient [P]; NaN on a bound, infinite where J is singular.

    Args:
        jacobian_MP: derivative by each coefficient, times the root of the weights [M, P].
        mean_square: variance of a run of weight one.
        bound_P: which coefficients are held on a bound [P].
    """
    errors_P = np.full(len(bound_P), np.nan)
    if bound_P.all():
        return errors_P
    free_MP = jacobian_MP[:, ~bound_P]
    length_P = np.linalg.norm(free_MP, axis=0)
    flat_P = length_P == 0
    unit_MP = free_MP / np.where(flat_P, 1.0, length_P)
    values, vectors = np.linalg.eigh(unit_MP.T @ unit_MP)
    lost = values < SMALLEST_EIGENVALUE
    variance_P = (vectors**2 / np.where(lost, 1.0, values)).sum(axis=1)
    blurred_P = flat_P | ((vectors**2)[:, lost].sum(axis=1) > SMALLEST_EIGENVALUE)
    found_P = np.sqrt(mean_square * variance_P) / np.where(flat_P, 1.0, length_P)
    errors_P[~bound_P] = np.where(blurred_P, np.inf, found_P)
    return errors_P


def unidentified(
    law: Law, theta_P: ndarray, errors_P: ndarray, noise: Noise, loss_M: ndarray
) -> tuple[str, ...]:
    """Names of the coefficients that the data do not fix.

    Args:
        law: the fitted law.
        theta_P: coefficients, with the columns in units of their geometric means [P].
        errors_P: their standard errors in the same units [P].
        noise: the scatter of the runs.
        loss_M: losses of the fitted runs in nats [M].
    """
    quantile = stats.t.ppf(0.975, noise.degrees) if noise.degrees > 0 else np.inf
    names = []
    for coefficient, value, error in zip(law.coefficients, theta_P, errors_P, strict=True):
        yardstick = np.ptp(loss_M) if coefficient.name == law.constant else abs(value)
        if np.isinf(error) or (error > 0 and quantile * error > LARGEST_SHARE * yardstick):
            names.append(coefficient.name)
    return tuple(names)


def warnings(
    law: Law, theta_P: ndarray, lost: tuple[str, ...], noise: Noise, loss_M: ndarray
) -> list[str]:
    """What a reader must know before trusting the coefficients, in words.

    Args:
        law: the fitted law.
        theta_P: coefficients, with the columns in units of their geometric means [P].
        lost: names of those that are not identified.
        noise: the scatter of the runs.
        loss_M: losses of the fitted runs in nats [M].
    """
    words = [*_bounded(law, theta_P, loss_M), *_unidentified(law, lost)]
    if noise.degrees < FEWEST_DEGREES:
        words.append(
            f"degrees of freedom left to estimate the noise: {max(noise.degrees, 0)}; add sizes or "
            "seeds"
        )
    if noise.source == "lack_of_fit":
        words.append(
            "the law misses the sizes by more than their seeds explain (lack of fit); the interval "
            "allows for it"
        )
    return words


def _bounded(law: Law, theta_P: ndarray, loss_M: ndarray) -> list[str]:
    words = []
    bound_P = on_bound(law, theta_P)
    for coefficient, value, bound in zip(law.coefficients, theta_P, bound_P, strict=True):
        name = coefficient.name
        if name == law.constant and value <= COLLAPSED_SHARE * loss_M.min():
            words.append(
                f"the constant {name} collapsed to {value:.3g}: the runs span too small a range to "
                "see where the loss levels off"
            )
        elif bound:
            words.append(
                f"{name} sits on its bound {value:.3g}: the data pull it further, so the law may "
                "not be theirs"
            )
    return words


def _unidentified(law: Law, lost: tuple[str, ...]) -> list[str]:
    return [
        f"{name} is not identified: its 95 % interval is wider than "
        + ("the whole range of the fitted losses" if name == law.constant else "the value itself")
        for name in lost
    ]
