"""Lion: every weight moves by the same amount, in the direction of a sign.

W <- (1 - lr decay) W - lr sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g.
Source: Chen et al. 2023, arXiv 2302.06675, program 1. Entries of an update have size 1 as Adam's
have, so muP treats it as Adam; being larger than Adam's, they want a rate 3 to 10 times lower, and
a decay that is higher by as much (section 5 there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from windtunnel.shards import local

each: Any = torch  # whose stubs leave out what works on lists of tensors


class Lion(Optimizer):
    """Takes the groups of `optim.groups`; one moment per weight."""

    takes_shards = True

    def __init__(self, groups: Sequence[dict[str, Any]], *, betas: Sequence[float]) -> None:
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"optim.build.betas must be two numbers in [0, 1), got {list(betas)}: 0.9 and 0.99 "
                "are usual"
            )
        super().__init__([dict(group) for group in groups], {"betas": tuple(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._move(parameters, group)
        return loss

    def _move(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["exp_avg"] = torch.zeros_like(p)
        momenta = [local(self.state[p]["exp_avg"]) for p in parameters]
        grads: Any = [local(p.grad) for p in parameters]
        weights = [local(p) for p in parameters]
        beta1, beta2 = group["betas"]
        directions = each._foreach_lerp(momenta, grads, 1 - beta1)
        each._foreach_sign_(directions)
        if group["weight_decay"]:
            each._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        each._foreach_add_(weights, directions, alpha=-group["lr"])
        each._foreach_lerp_(momenta, grads, 1 - beta2)
