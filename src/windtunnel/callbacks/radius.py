"""How far a step goes in radii of softmax's Taylor series, and a step that is kept inside one.

Along the update p of all weights, with v = p / |p| and a = J_z v the slope of a token's logits z,

    spread = max over tokens of (max_k a_k - min_k a_k),   radius = pi / spread,   r = |p| / radius

No complex zero of the partition function lies within the radius, so the loss follows its Taylor
series there; a step with r above 1 may land anywhere. With a `limit` the step becomes
p min(1, limit / r), which is the same step at a lower learning rate: an update, its decoupled decay
included, is its rate times something. One forward-mode product gives a, at the weights before the
step, on the step's last micro-batch.

Source: Sao 2026, arXiv 2603.13552. Ours: in between two measurements, `every` steps apart, the last
spread stands in for the present one; a limit that it would break is measured before it is applied.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from windtunnel.callbacks.curve import Averager, stride_for
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.slopes import logit_spread
from windtunnel.callbacks.steps import ends_step, is_logged


class Radius(L.Callback):
    """Measures r every `every` steps, logs it as `stability/r`, and keeps it below `limit`.

    limit: largest r of a step, or None to watch only. chunk: tokens whose logits are held at a
    time. points: most points of the curve. Leaves `radius` in the record's measurements. Reads the
    model from `pl_module.objective.model`, which has a `head`.
    """

    def __init__(
        self, facts: JobFacts, *, every: int, limit: float | None, chunk: int, points: int
    ) -> None:
        for name, value in (("every", every), ("chunk", chunk), ("points", points)):
            if value < 1:
                raise ValueError(
                    f"callbacks.radius.{name} must be 1 or more, got {value}: every=1 measures "
                    "every step, and 10 costs little"
                )
        if limit is not None and not limit > 0:
            raise ValueError(
                f"callbacks.radius.limit must be above 0, got {limit}: 1 is the radius itself, "
                "null only watches"
            )
        self.every, self.limit, self.chunk = every, limit, chunk
        self.curve = Averager(stride_for(facts.total_steps, points), facts.tokens_per_step)
        self.spread: float | None = None
        self.r: float | None = None
        self.largest: tuple[int, float] | None = None
        self.n_measured = self.n_limited = 0
        self._batch: Any = None
        self._before: list[Tensor] = []
        self._hook: Any = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses an optimiser whose steps cannot be shortened."""
        grid = any(getattr(optimizer, "grid", None) for optimizer in trainer.optimizers)
        if grid and self.limit is not None:
            raise ValueError(
                "callbacks.radius.limit shortens steps, and the weights of this optimiser lie on "
                "a grid that a shorter step would leave: set callbacks.radius.limit=null to only "
                "watch, or choose another optim"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks to be called after every step of the optimiser."""
        after = partial(self._after_step, trainer, pl_module)
        self._hook = trainer.optimizers[0].register_step_post_hook(after)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the hook off."""
        self._hook.remove()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the batch that the step will be measured on."""
        self._batch = batch

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Keeps the weights, where the step will be measured or may be shortened."""
        if self.limit is not None or trainer.global_step % self.every == 0:
            self._before = [w.detach().clone() for w in weights_of(pl_module)]

    @torch.no_grad()
    def _after_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer, *_: Any
    ) -> None:
        if not self._before:
            return
        before, weights = self._before, weights_of(pl_module)
        self._before = []
        update = [w - b for w, b in zip(weights, before, strict=True)]
        size = float(nn.utils.get_total_norm(update))
        if trainer.global_step % self.every == 0 or self._shortened(size) < 1:
            self._measure(trainer, pl_module, before, update, size)
            scale = self._shortened(size)
            self.n_limited += scale < 1
            if scale < 1:
                shorten(weights, before, scale)

    def _shortened(self, size: float) -> float:
        """What a step of this size is multiplied with."""
        if self.limit is None or self.spread is None:
            return 1.0
        r = relative_size(size, self.spread)
        return min(1.0, self.limit / r) if math.isfinite(r) and r > 0 else float(r == 0)

    def _measure(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        before: Sequence[Tensor],
        update: Sequence[Tensor],
        size: float,
    ) -> None:
        objective: Any = pl_module.objective
        spread = torch.full((), math.nan, device=before[0].device)
        if math.isfinite(size):
            along = [p / size if size else p for p in update]
            spread = logit_spread(objective.model, before, along, self._batch, self.chunk)
        if trainer.world_size > 1:
            spread = trainer.strategy.reduce(spread, reduce_op="max")
        self.spread = float(spread)
        r = relative_size(size, self.spread)
        self.n_measured += 1
        if not math.isfinite(r):
            return
        self.r, step = r, trainer.global_step + 1
        self.curve.add(step, r)
        if self.largest is None or r > self.largest[1]:
            self.largest = (step, r)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs the last r on logging steps."""
        if ends_step(trainer, batch_idx):
            self._batch = None
            if self.r is not None and is_logged(trainer, batch_idx):
                pl_module.log("stability/r", self.r)

    @property
    def measurements(self) -> dict[str, Any]:
        """What goes into the record."""
        step, r = self.largest or (None, None)
        found = {"every": self.every, "limit": self.limit, "largest_r": r, "largest_step": step,
                 "n_measured": self.n_measured, "n_limited": self.n_limited,
                 "curve": dataclasses.asdict(self.curve.curve())}  # fmt: skip
        return {"radius": found}

    def state_dict(self) -> dict[str, Any]:
        """The last spread, and what was measured so far."""
        names = ("spread", "r", "largest", "n_measured", "n_limited")
        return {"curve": self.curve.state(), **{name: getattr(self, name) for name in names}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        values = dict(state_dict)
        self.curve = Averager(**values.pop("curve"))
        for name, value in values.items():
            setattr(self, name, value)


def weights_of(pl_module: L.LightningModule) -> list[Tensor]:
    """Every parameter of the model once."""
    objective: Any = pl_module.objective
    return list(objective.model.parameters())


def relative_size(size: float, spread: float) -> float:
    """r: the size of an update over the radius pi / spread along it."""
    return size * spread / math.pi


def shorten(weights: Sequence[Tensor], before: Sequence[Tensor], scale: float) -> None:
    """Leaves a share of the step from `before` to the weights, in place."""
    for w, b in zip(weights, before, strict=True):
        w.copy_(b.lerp(w, scale) if scale > 0 else b)
