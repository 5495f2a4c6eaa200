"""How large weights, updates and gradients are, by role: what drifts before a training breaks.

Every so many steps, root mean squares over all entries of a role's parameters:

    weight            RMS(w), after the step; of the role `output` that of the head
    update_to_weight  RMS(w_after - w_before) / RMS(w_before)
    gradient_to_eps   RMS(g) / eps, g as the optimiser got it and eps that of its group

A gradient near eps stalls Adam: its update is no longer free of the gradient's size. In the source
a 4.8 B model at RMS(g) / eps of about 1 stood still and smaller ones soon will (section 3.4).
`head` is the norm of the head's own matrix besides, where it has one.

Source: Wortsman et al. 2023, arXiv 2309.14322, sections 3.3 and 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import is_logged

Sizes = dict[str, float]


class RoleSizes(L.Callback):
    """Measures every `every` steps; logs `stability/WHAT/ROLE` and `stability/head_norm`.

    Leaves `role_sizes: {steps, tokens, WHAT: {ROLE: [...]}, head_norm: [...]}` in the record's
    measurements, None where something cannot be divided. Roles are those of `facts.table`.
    """

    def __init__(self, facts: JobFacts, *, every: int) -> None:
        if every < 1:
            raise ValueError(
                f"callbacks.role_sizes.every must be 1 or more, got {every}: 100 costs little"
            )
        self.every, self.tokens_per_step = every, facts.tokens_per_step
        self.roles = {row["name"]: row["role"] for row in facts.table}
        self.steps: list[int] = []
        self.found: dict[str, dict[str, list[float | None]]] = {}
        self.head_norms: list[float | None] = []
        self._before: dict[str, Tensor] = {}
        self._hook: Any = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks to be called after every step of the optimiser."""
        after = partial(self._after_step, trainer, pl_module)
        self._hook = trainer.optimizers[0].register_step_post_hook(after)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the hook off."""
        self._hook.remove()

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Keeps the weights of a step that will be measured."""
        if trainer.global_step % self.every == 0:
            self._before = {name: w.detach().clone() for name, w in weights_of(pl_module).items()}

    @torch.no_grad()
    def _after_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer, *_: Any
    ) -> None:
        if not self._before:
            return
        weights, before = weights_of(pl_module), self._before
        self._before = {}
        eps = {id(p): group.get("eps") for group in optimizer.param_groups for p in group["params"]}
        sizes = {
            "weight": self._by_role(weights),
            "moved": self._by_role({name: w - before[name] for name, w in weights.items()}),
            "before": self._by_role(before),
            "scaled": self._by_role(
                {n: w.grad / eps[id(w)] for n, w in weights.items()
                 if w.grad is not None and eps[id(w)]}
            ),
        }  # fmt: skip
        self.steps.append(trainer.global_step + 1)
        roles = list(sizes["before"])
        self._keep("weight", sizes["weight"], roles)
        self._keep("update_to_weight", quotients(sizes["moved"], sizes["before"]), roles)
        self._keep("gradient_to_eps", sizes["scaled"], roles)
        objective: Any = pl_module.objective
        head = getattr(objective.model.head, "weight", None)
        self.head_norms.append(None if head is None else finite(float(head.norm())))

    def _keep(self, what: str, sizes: Mapping[str, float | None], roles: Sequence[str]) -> None:
        for role in roles:
            own = self.found.setdefault(what, {}).setdefault(role, [])
            own.append(finite(sizes.get(role)))

    def _by_role(self, tensors: Mapping[str, Tensor]) -> Sizes:
        """Root mean square over all entries of each role."""
        groups: dict[str, list[Tensor]] = {}
        for name, tensor in tensors.items():
            groups.setdefault(self.roles[name], []).append(tensor)
        return {role: root_mean_square(own) for role, own in groups.items()}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs what was measured last, on logging steps."""
        if not self.steps or not is_logged(trainer, batch_idx):
            return
        for what, roles in self.found.items():
            for role, values in roles.items():
                if values[-1] is not None:
                    pl_module.log(f"stability/{what}/{role}", values[-1])
        if self.head_norms[-1] is not None:
            pl_module.log("stability/head_norm", self.head_norms[-1])

    @property
    def measurements(self) -> dict[str, Any]:
        """What goes into the record."""
        tokens = [step * self.tokens_per_step for step in self.steps]
        found = {"steps": self.steps, "tokens": tokens, **self.found, "head_norm": self.head_norms}
        return {"role_sizes": found} if self.steps else {}

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far."""
        return {"steps": self.steps, "found": self.found, "head_norms": self.head_norms}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        for name, value in state_dict.items():
            setattr(self, name, value)


def weights_of(pl_module: L.LightningModule) -> dict[str, Any]:
    """Every parameter of the model once, by its name in the model."""
    objective: Any = pl_module.objective
    return dict(objective.model.named_parameters())


def root_mean_square(tensors: Sequence[Tensor]) -> float:
    """Over all entries of several tensors, in float32 or better."""
    squares = torch.stack([t.detach().float().square().sum() for t in tensors]).sum()
    return math.sqrt(float(squares) / sum(t.numel() for t in tensors))


def quotients(sizes: Mapping[str, float], by: Mapping[str, float]) -> dict[str, float | None]:
    """Size over size, by role; None over zero."""
    return {role: size / by[role] if by[role] else None for role, size in sizes.items()}


def finite(value: float | None) -> float | None:
    """The number itself, or None where JSON has none."""
    return value if value is not None and math.isfinite(value) else None
