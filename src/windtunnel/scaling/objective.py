"""What a fit minimises, over points weighted by w.

    least squares      sum w r^2 / 2,        r = L_fit - L
    Huber on log loss  sum w huber_delta(r), r = log L_fit - log L

    huber_delta(r) = r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)

Source: Huber 1964; on log loss, Hoffmann et al. 2022, arXiv 2203.15556, appendix D.3.

`weight` is rho'(r) / r, the weight of a point in the quadratic that touches the objective from
above. Axes: S problems, M points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy import ndarray

SMALLEST_LOSS = 1e-300

LossKind = Literal["least_squares", "huber_log"]


class Objective(Protocol):
    """Which scale residuals live on, and what a residual costs."""

    def scale(self, loss: ndarray) -> ndarray:
        """The loss on the scale of the residuals."""
        ...

    def unscale(self, value: ndarray) -> ndarray:
        """The loss in nats, from the scale of the residuals."""
        ...

    def slope(self, loss: ndarray) -> ndarray:
        """Derivative of `scale`."""
        ...

    def cost(self, residual: ndarray) -> ndarray:
        """What a residual costs."""
        ...

    def weight(self, residual: ndarray) -> ndarray:
        """Derivative of the cost, divided by the residual."""
        ...


@dataclass(frozen=True)
class LeastSquares:
    """Half the squared error in nats."""

    def scale(self, loss: ndarray) -> ndarray:
        """The loss itself."""
        return loss

    def unscale(self, value: ndarray) -> ndarray:
        """The value itself."""
        return value

    def slope(self, loss: ndarray) -> ndarray:
        """One everywhere."""
        return np.ones_like(loss)

    def cost(self, residual: ndarray) -> ndarray:
        """Half the square."""
        return residual**2 / 2

    def weight(self, residual: ndarray) -> ndarray:
        """One everywhere."""
        return np.ones_like(residual)


@dataclass(frozen=True)
class HuberLog:
    """Huber's cost of the error in log loss; `delta` is where it turns from square to linear."""

    delta: float

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ValueError(f"delta: expected a number above 0; got {self.delta}")

    def scale(self, loss: ndarray) -> ndarray:
        """The logarithm of the loss."""
        return np.log(np.maximum(loss, SMALLEST_LOSS))

    def unscale(self, value: ndarray) -> ndarray:
        """The exponential of the value."""
        return np.exp(value)

    def slope(self, loss: ndarray) -> ndarray:
        """One over the loss."""
        return 1 / np.maximum(loss, SMALLEST_LOSS)

    def cost(self, residual: ndarray) -> ndarray:
        """Half the square up to delta, linear beyond."""
        size = np.minimum(np.abs(residual), self.delta)
        return size * (np.abs(residual) - size / 2)

    def weight(self, residual: ndarray) -> ndarray:
        """One up to delta, falling as one over the residual beyond."""
        return self.delta / np.maximum(np.abs(residual), self.delta)


def objective_of(kind: LossKind, delta: float | None) -> Objective:
    """The objective called `kind`.

    Raises:
        ValueError: there is no such objective, or `delta` is missing or has no use.
    """
    if kind == "huber_log":
        if delta is None:
            raise ValueError("delta: huber_log needs one, such as 1e-3; got None")
        return HuberLog(delta)
    if kind != "least_squares":
        raise ValueError(f"loss_kind: expected least_squares or huber_log; got {kind!r}")
    if delta is not None:
        raise ValueError(f"delta: least_squares has none; got {delta}: set it to null")
    return LeastSquares()
