"""Averages of the weights of one training run, kept in float32.

`Ema`: mean <- d mean + (1 - d) w from the first weights on; with warm-up the t-th update takes
d_t = min(d, (1 + t) / (10 + t)), so that the first weights are soon forgotten (as in
TensorFlow's ExponentialMovingAverage). `LastCheckpoints`: the mean of the last `count` weights it
was given, oldest to newest with one of these weightings:

- `uniform`, 1 / n: LAWA (Kaddour 2022, arXiv 2209.14981); as SMA in arXiv 2511.18903;
- `rising`, i / sum(i): WMA there, which does not define it, so this is our reading;
- `exponential`, from M_1 = w_1 and M_i = alpha w_i + (1 - alpha) M_(i-1): EMA there, alpha 0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from windtunnel.shards import placed

each: Any = torch  # whose stubs leave out what works on lists of tensors

WARM_UP = 10  # tf.train.ExponentialMovingAverage: min(decay, (1 + t) / (10 + t))


class Average(Protocol):
    """Takes weights as training goes on, and gives their average."""

    def take(self, weights: Sequence[Tensor]) -> None:
        """Takes the weights as they are now."""
        ...

    def weights(self) -> list[Tensor]:
        """The average in float32; empty before the first weights were taken."""
        ...

    def state(self) -> dict[str, Any]:
        """All of it in tensors and plain types, for a checkpoint."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from such a state."""
        ...


def copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """Copies in float32."""
    return [w.detach().to(torch.float32, copy=True) for w in weights]


class Ema:
    """Exponential moving average over the updates."""

    def __init__(self, *, decay: float, warmup: bool) -> None:
        if not 0 <= decay < 1:
            raise ValueError(
                f"averaging.average.decay must lie in [0, 1), got {decay}: 0.99 looks back some "
                "hundred updates"
            )
        self.decay, self.warmup = decay, warmup
        self._mean: list[Tensor] = []
        self._updates = 0

    def take(self, weights: Sequence[Tensor]) -> None:
        if not self._mean:
            self._mean = copies(weights)
            return
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self._updates) / (WARM_UP + self._updates))
        self._updates += 1
        # A restored state lies whole on the CPU until it meets the weights again.
        self._mean = [placed(m, w) for m, w in zip(self._mean, weights, strict=True)]
        now = [w.detach().to(torch.float32) for w in weights]
        each._foreach_lerp_(self._mean, now, 1 - decay)

    def weights(self) -> list[Tensor]:
        return self._mean

    def state(self) -> dict[str, Any]:
        return {"mean": self._mean, "updates": self._updates}

    def restore(self, state: dict[str, Any]) -> None:
        self._mean, self._updates = state["mean"], state["updates"]


class LastCheckpoints:
    """Weighted mean of the last `count` weights; of as many as there are before that."""

    def __init__(self, *, count: int, weighting: Callable[[int], list[float]]) -> None:
        if count < 1:
            raise ValueError(f"averaging.average.count must be 1 or more, got {count}: try 6")
        self.count, self.weighting = count, weighting
        self._taken: list[list[Tensor]] = []

    def take(self, weights: Sequence[Tensor]) -> None:
        before = [[placed(t, w) for t, w in zip(own, weights, strict=True)] for own in self._taken]
        self._taken = [*before, copies(weights)][-self.count :]

    def weights(self) -> list[Tensor]:
        mean: list[Tensor] = []
        shares = self.weighting(len(self._taken)) if self._taken else []
        for share, taken in zip(shares, self._taken, strict=True):
            if mean:
                each._foreach_add_(mean, taken, alpha=share)
            else:
                mean = [share * t for t in taken]
        return mean

    def state(self) -> dict[str, Any]:
        return {"taken": self._taken}

    def restore(self, state: dict[str, Any]) -> None:
        self._taken = state["taken"]


def uniform(n: int) -> list[float]:
    """The same weight for all n."""
    return [1 / n] * n


def rising(n: int) -> list[float]:
    """Weights in proportion to 1, 2, ..., n."""
    return [2 * i / (n * (n + 1)) for i in range(1, n + 1)]


def exponential(n: int, *, alpha: float) -> list[float]:
    """Weights of a moving average that starts at the oldest.

    Raises:
        ValueError: alpha is no share.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"averaging.average.weighting.alpha must lie in (0, 1], got {alpha}")
    return [(1 if i == 0 else alpha) * (1 - alpha) ** (n - 1 - i) for i in range(n)]
