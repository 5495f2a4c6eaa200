"""Clips a gradient whose norm stands out from those before it, the more the more it does.

With mean m and variance s^2 of the norms so far, as exponential averages, z = (|g| - m) / s, and

    |g| becomes  m + s threshold^2 / z   where z > threshold,

which is m + s threshold at the threshold and falls to m for an outlier without end. What is left of
the norm goes into the averages: m <- decay m + (1 - decay) |g|, and s^2 alike with (|g| - m)^2. The
first `warmup_steps` norms are left as they are, and their mean and variance begin the averages.

Source: Kumar et al. 2025, arXiv 2504.02507 (ZClip), equations 1 to 7, with the constants of its
code. It acts before `optim.clip_norm`, which stays as an upper bound: the code does both as well.
A norm that is not finite clips nothing and stays out of the averages.
"""

from __future__ import annotations

import math
from typing import Any

import lightning as L
from torch import nn
from torch.optim import Optimizer

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import is_logged

EPS = 1e-6  # added to s, as in the code of the source


class ZClip(L.Callback):
    """Scales the gradients of a step; logs `stability/norm_kept`, the share that was left.

    Leaves `zclip: {n_clipped, least_kept}` in the record's measurements.
    """

    def __init__(
        self, facts: JobFacts, *, decay: float, threshold: float, warmup_steps: int
    ) -> None:
        if not 0 < decay < 1:
            raise ValueError(
                f"callbacks.zclip.decay must lie above 0 and below 1, got {decay}: 0.97 remembers "
                "about 30 steps"
            )
        if not threshold > 0:
            raise ValueError(
                f"callbacks.zclip.threshold must be above 0, got {threshold}: it is how many "
                "standard deviations a norm may lie above the mean, such as 2.5"
            )
        if warmup_steps < 2:
            raise ValueError(
                f"callbacks.zclip.warmup_steps must be 2 or more, got {warmup_steps}: a variance "
                "needs two norms"
            )
        self.decay, self.threshold, self.warmup_steps = decay, threshold, warmup_steps
        self.first: list[float] = []
        self.mean = self.variance = 0.0
        self.kept, self.least_kept, self.n_clipped = 1.0, 1.0, 0

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Clips."""
        grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = float(nn.utils.get_total_norm(grads))
        self.kept = self.take(norm)
        if self.kept < 1:
            self.n_clipped += 1
            self.least_kept = min(self.least_kept, self.kept)
            for grad in grads:
                grad.mul_(self.kept)

    def take(self, norm: float) -> float:
        """The share of a norm that is left; moves the averages on."""
        if not math.isfinite(norm):
            return 1.0
        if len(self.first) < self.warmup_steps:
            self.first.append(norm)
            self.mean = math.fsum(self.first) / len(self.first)
            squares = math.fsum((n - self.mean) ** 2 for n in self.first)
            self.variance = squares / len(self.first)
            return 1.0
        left = clipped(norm, self.mean, math.sqrt(self.variance), self.threshold)
        self.mean = self.decay * self.mean + (1 - self.decay) * left
        self.variance = self.decay * self.variance + (1 - self.decay) * (left - self.mean) ** 2
        return left / norm if left < norm else 1.0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs what was left of the norm, on logging steps."""
        if is_logged(trainer, batch_idx):
            pl_module.log("stability/norm_kept", self.kept)

    @property
    def measurements(self) -> dict[str, Any]:
        """What goes into the record."""
        return {"zclip": {"n_clipped": self.n_clipped, "least_kept": self.least_kept}}

    def state_dict(self) -> dict[str, Any]:
        """The averages, and what was counted so far."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        for name, value in state_dict.items():
            setattr(self, name, value)


STATE = ("first", "mean", "variance", "kept", "least_kept", "n_clipped")


def clipped(norm: float, mean: float, sd: float, threshold: float) -> float:
    """What is left of a norm beside the mean and standard deviation of those before it."""
    z = (norm - mean) / (sd + EPS)
    return norm if z <= threshold else mean + sd * threshold**2 / z
