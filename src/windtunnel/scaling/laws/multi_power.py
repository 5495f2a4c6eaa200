"""Loss along whole training curves, by the power law of every fall of the learning rate before.

    L(s) = L_0 + A S1(s)^-alpha - B sum_k (eta_{k-1} - eta_k) G(eta_k^-gamma S_k(s)),
    G(x) = 1 - (1 + C x)^-beta,   S_k(s) = eta_k + ... up to step s,   S1(s) = S_0(s)

The law needs the schedules themselves: it is made with the learning rates of every curve, and its
columns are the number of the curve, from 0, and the step, which is how many rates have been used.
Warm-up belongs to the schedule, its rises to the sum.

The sum is taken over blocks of steps, see `scaling/schedule.py`: that costs a hundred terms instead
of one per step.

Source: Luo et al. 2025, arXiv 2503.12811, equation 2; warm-up as in its published code.

Axes: S sets of coefficients, M points, P coefficients, K blocks of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy import optimize

from windtunnel.interfaces import Coefficient
from windtunnel.scaling.schedule import block_edges, falls_before

EXPONENTS = (0.2, 0.5, 0.9)
DROP_EXPONENTS = (0.15, 0.4, 0.8)
RATE_EXPONENTS = (0.3, 0.7)
REACHES = (1e2, 3e3)
SMALLEST_LR = 1e-300


class Falls(NamedTuple):
    """What the law needs of each point: S1 [M], and of each block of steps before it the fall of
    the rate [M, K], the logarithm of the rate [M, K], and S_k [M, K]."""

    S1_M: ndarray
    fall_MK: ndarray
    log_lr_MK: ndarray
    area_MK: ndarray


@dataclass(frozen=True, eq=False)
class MultiPower:
    """The multi-power law of the given schedules; each is the learning rate of every step."""

    schedules: tuple[ndarray, ...] = ()
    name = "multi_power"
    formula = (
        "L = L_0 + A S1^-alpha - B sum_k (eta_{k-1} - eta_k) (1 - (1 + C eta_k^-gamma S_k)^-beta) "
        "over the rates of the curve up to the step"
    )
    columns = ("curve", "step")
    unit_groups = ()
    response = "L"
    constant = "L_0"
    coefficients = (
        Coefficient("L_0", "loss in nats of an endless training at a constant rate", 0.0, np.inf),
        Coefficient("A", "reducible loss in nats at a forward area of one", 0.0, np.inf),
        Coefficient("alpha", "exponent of the forward area", 0.0, 3.0),
        Coefficient("B", "loss in nats that a fall of the rate by one takes off", 0.0, np.inf),
        Coefficient("C", "how soon after a fall its gain comes", 0.0, np.inf),
        Coefficient("beta", "exponent by which the gain comes", 0.0, 5.0),
        Coefficient("gamma", "how much sooner the gain comes at a smaller rate", 0.0, 2.0),
    )

    def __post_init__(self) -> None:
        for i, lr_T in enumerate(self.schedules):
            if np.ndim(lr_T) != 1 or not np.isfinite(lr_T).all() or np.any(np.less(lr_T, 0)):
                raise ValueError(
                    f"schedules: expected rows of finite learning rates of 0 or more; schedule {i} "
                    f"is {lr_T}"
                )

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Loss in nats [S, M]."""
        constant_S1, A_S1, alpha_S1, B_S1 = (theta_SP[:, [i]] for i in range(4))
        falls = self._falls(x)
        log_SMK = np.log1p(theta_SP[:, 4, None, None] * _distance(theta_SP, falls))
        drop_SM = _sum(-np.expm1(-theta_SP[:, 5, None, None] * log_SMK), falls)
        return constant_S1 + A_S1 * np.exp(-alpha_S1 * np.log(falls.S1_M)) - B_S1 * drop_SM

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of the loss by each coefficient [S, M, P]."""
        A_S1, alpha_S1, B_S1, C_S1 = (theta_SP[:, [i]] for i in range(1, 5))
        beta_S11 = theta_SP[:, 5, None, None]
        falls = self._falls(x)
        distance_SMK = _distance(theta_SP, falls)
        reach_SMK = C_S1[..., None] * distance_SMK
        log_SMK = np.log1p(reach_SMK)
        left_SMK = np.exp(-beta_S11 * log_SMK)
        by_C_SMK = beta_S11 * left_SMK / (1 + reach_SMK) * distance_SMK
        log_S1_M = np.log(falls.S1_M)
        power_SM = np.exp(-alpha_S1 * log_S1_M)
        return np.stack(
            [
                np.ones_like(power_SM),
                power_SM,
                -A_S1 * power_SM * log_S1_M,
                -_sum(1 - left_SMK, falls),
                -B_S1 * _sum(by_C_SMK, falls),
                -B_S1 * _sum(left_SMK * log_SMK, falls),
                B_S1 * C_S1 * _sum(by_C_SMK * falls.log_lr_MK, falls),
            ],
            axis=-1,
        )

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """A grid over the exponents and C, each with the L_0, A and B that fit best [S, P]."""
        axes = (EXPONENTS, REACHES, DROP_EXPONENTS, RATE_EXPONENTS)
        falls = self._falls(x)
        log_lr = np.average(falls.log_lr_MK, weights=np.abs(falls.fall_MK) + SMALLEST_LR)
        rows = []
        for alpha, reach, beta, gamma in product(*axes):
            typical = np.exp(-gamma * log_lr) * falls.S1_M.mean()
            row = np.array([0.0, 0.0, alpha, 0.0, reach / typical, beta, gamma])
            slopes_MP = self.gradient(row[None], x)[0]
            linear = [0, 1, 3]
            row[linear] = optimize.nnls(slopes_MP[:, linear], loss_M)[0]
            rows.append(row)
        return np.array(rows)

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """The same coefficients [S, P]: curve and step have no unit."""
        return theta_SP

    def _falls(self, x: Mapping[str, ndarray]) -> Falls:
        """Those of the points; kept, since a fit asks for the same points again and again."""
        curve_M, step_M = (np.asarray(x[name], float) for name in self.columns)
        return _falls(self, curve_M.tobytes(), step_M.tobytes())


def _distance(theta_SP: ndarray, falls: Falls) -> ndarray:
    """eta^-gamma S_k [S, M, K]."""
    return np.exp(-theta_SP[:, 6, None, None] * falls.log_lr_MK) * falls.area_MK


def _sum(gain_SMK: ndarray, falls: Falls) -> ndarray:
    return np.einsum("smk,mk->sm", gain_SMK, falls.fall_MK)


@lru_cache(maxsize=8)
def _falls(law: MultiPower, curves: bytes, steps: bytes) -> Falls:
    curve_M, step_M = np.frombuffer(curves), np.frombuffer(steps)
    schedule_M = [_used(law.schedules, *point) for point in zip(curve_M, step_M, strict=True)]
    back_K = block_edges(int(step_M.max()))
    rows = [falls_before(lr_s, back_K) for lr_s in schedule_M]
    S1_M = np.array([lr_s.sum() for lr_s in schedule_M])
    fall_MK, lr_MK, area_MK = (np.stack(values) for values in zip(*rows, strict=True))
    return Falls(S1_M, fall_MK, np.log(np.maximum(lr_MK, SMALLEST_LR)), area_MK)


def _used(schedules: Sequence[ndarray], curve: float, step: float) -> ndarray:
    """The rates used up to a step of a curve."""
    if curve not in range(len(schedules)):
        raise ValueError(
            f"column curve: expected a number from 0 to below {len(schedules)}, the schedules that "
            f"the law was made with; got {curve:g}: make it with MultiPower(schedules)"
        )
    lr_T = np.asarray(schedules[int(curve)], float)
    if step not in range(1, len(lr_T) + 1) or not lr_T[: int(step)].any():
        raise ValueError(
            f"column step: expected a whole number from 1 to {len(lr_T)}, the steps of curve "
            f"{curve:g}, with a rate above 0 by then; got {step:g}"
        )
    return lr_T[: int(step)]
