"""What a law's test states of it: coefficients, runs that identify them, and a run to predict.

The runs are at least five per coefficient. A loss gets noise of 0.5 % of itself, and a share of one
(accuracy, error) 0.5 points. Every law has its case as `CASE` in the test of its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from windtunnel.interfaces import Law
from windtunnel.scaling.fit import Fit, fit

NOISE = 0.005
HUBER = {"loss_kind": "huber_log", "delta": 4 * NOISE}
LEAST = {"loss_kind": "least_squares", "delta": None}


@dataclass(frozen=True)
class Case:
    """A law, its coefficients, columns of the runs, and columns of a run to predict."""

    law: Law
    truth: tuple[float, ...]
    x: dict[str, np.ndarray]
    target: dict[str, float]

    @property
    def n_runs(self) -> int:
        return len(self.x[self.law.columns[0]])

    def exact(self) -> np.ndarray:
        return self.law.predict(np.array([self.truth]), self.x)[0]

    def noisy(self, rng: np.random.Generator) -> np.ndarray:
        return self._with_noise(self.exact(), rng)

    def new_run(self, rng: np.random.Generator) -> float:
        x = {name: np.array([value]) for name, value in self.target.items()}
        return float(self._with_noise(self.law.predict(np.array([self.truth]), x)[0], rng)[0])

    def fit(self, response: np.ndarray, starts: np.ndarray | None = None) -> Fit:
        settings = HUBER if self.law.response == "L" else LEAST
        return fit(self.law, self.x, response, starts=starts, **settings)

    def random(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Coefficients [n, P] around the truth, inside their bounds."""
        theta_SP = self.truth * np.exp(0.2 * rng.standard_normal((n, len(self.truth))))
        low_P, high_P = np.array([(c.low, c.high) for c in self.law.coefficients]).T
        return np.clip(theta_SP, low_P, high_P)

    def _with_noise(self, exact: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = NOISE * rng.standard_normal(exact.shape)
        return exact * np.exp(noise) if self.law.response == "L" else exact + noise


def grid(**axes: np.ndarray) -> dict[str, np.ndarray]:
    """Every combination of the axes, as columns."""
    arrays = np.meshgrid(*axes.values(), indexing="ij")
    return {name: array.ravel() for name, array in zip(axes, arrays, strict=True)}


def at(**columns: float) -> dict[str, np.ndarray]:
    """One point."""
    return {name: np.array([value], float) for name, value in columns.items()}


def cosine(n_steps: int, peak: float, end: float) -> np.ndarray:
    return end + (peak - end) * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps)) / 2


def two_stage(n_steps: int, peak: float, end: float) -> np.ndarray:
    return np.where(np.arange(n_steps) < n_steps // 3, peak, end)
