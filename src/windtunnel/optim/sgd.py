"""Stochastic gradient descent with momentum, and with weight decay apart from the gradient.

W <- (1 - lr decay) W;  m <- momentum m + g;  W <- W - lr m, or - lr (g + momentum m) with Nesterov.
torch's own weight decay is added to the gradient, where momentum multiplies it by
1 / (1 - momentum); apart from it, it means what it means in AdamW (Loshchilov and Hutter 2019,
arXiv 1711.05101, algorithm 1), so that the modes of `optim.groups` hold. Without it: torch's SGD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from windtunnel.shards import local

each: Any = torch  # whose stubs leave out what works on lists of tensors


class SGD(torch.optim.SGD):
    """torch's SGD over the groups of `optim.groups`."""

    def __init__(
        self, groups: Sequence[dict[str, Any]], *, momentum: float, nesterov: bool
    ) -> None:
        own = [{**g, "weight_decay": 0.0, "decay": g["weight_decay"]} for g in groups]
        super().__init__(own, momentum=momentum, nesterov=nesterov)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters and group["decay"]:
                each._foreach_mul_([local(p) for p in parameters], 1 - group["lr"] * group["decay"])
        super().step()
        return loss
