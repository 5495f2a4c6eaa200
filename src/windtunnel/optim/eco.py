"""Training of weights that exist only on a coarse grid, with no finer master copy.

From weights w on the grid, a step of the rule goes to (1 - lr decay) w - lr direction; the grid
takes the nearest it has, or a random neighbour; what that left out is the error e. What becomes of
e is a choice:

- `Injected`, ECO: it goes into the momentum, m += (1 - lr decay) (1 - 1 / beta) S e / lr;
- `Exact`: m += (1 - lr decay) S (e_before - e / beta) / lr, with e kept. Under a constant rate and
  with momentum alone the weights are those of `Master`; ECO is its limit for e_before = e;
- `Master`: e is kept and added to w before the next step, which is to keep the weights finely;
- `Dropped`: it is lost, the naive way.

S says what of the momentum moves a weight by one: 1 for momentum m <- beta m + (1 - beta) g, and
(1 - beta1^t) (sqrt(v / (1 - beta2^t)) + eps) for Adam.

Source: Nikdan et al. 2026, arXiv 2601.22101, sections 3 and 4; the factor (1 - lr decay), and the
floor under lr below which 1 / lr grows no further, are ours: the derivation takes lr as constant,
and at the end of a decay to zero the momentum would hold nothing but errors. Only hidden matrices
lie on the grid. Nothing is saved while the grid is emulated; `memory` says what it would take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from windtunnel.optim.grid import Grid

State = dict[str, Any]
FLOAT_BYTES = 4  # of a moment, of a master copy, and of a row's scale


class Rule(Protocol):
    """From gradients to steps; `beta` belongs to the state's `momentum`."""

    beta: float
    n_moments: int

    def direction(self, state: State, grad: Tensor, eps: float) -> Tensor:
        """What a step subtracts, over lr; moves the state on."""
        ...

    def unit(self, state: State, eps: float) -> Tensor | float:
        """How much of the momentum moves a weight by lr."""
        ...


class Momentum:
    """m <- beta m + (1 - beta) g; the direction is m."""

    n_moments = 1

    def __init__(self, *, beta: float) -> None:
        self.beta = checked_beta(beta)

    def direction(self, state: State, grad: Tensor, eps: float) -> Tensor:
        return state.setdefault("momentum", torch.zeros_like(grad)).lerp_(grad, 1 - self.beta)

    def unit(self, state: State, eps: float) -> float:
        return 1.0


class Adam:
    """Both moments of Adam, corrected for their start."""

    n_moments = 2

    def __init__(self, *, betas: Sequence[float]) -> None:
        self.beta, self.beta2 = checked_beta(betas[0]), checked_beta(betas[1])

    def direction(self, state: State, grad: Tensor, eps: float) -> Tensor:
        state["step"] = state.get("step", 0) + 1
        momentum = state.setdefault("momentum", torch.zeros_like(grad))
        square = state.setdefault("square", torch.zeros_like(grad))
        square.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        return momentum.lerp_(grad, 1 - self.beta) / self.unit(state, eps)

    def unit(self, state: State, eps: float) -> Tensor:
        size = (state["square"] / (1 - self.beta2 ** state["step"])).sqrt_().add_(eps)
        return size.mul_(1 - self.beta ** state["step"])


def checked_beta(beta: float) -> float:
    """The share itself, where errors may be divided by it.

    Raises:
        ValueError: it does not lie between 0 and 1.
    """
    if not 0 < beta < 1:
        raise ValueError(
            f"optim.build.rule: a momentum must lie above 0 and below 1, got {beta}: errors are "
            "fed to it and divided by it; try 0.9"
        )
    return beta


class Dropped:
    """Errors are lost."""

    keeps = False

    def start(self, w: Tensor, state: State) -> Tensor:
        """The weights that a step starts from."""
        return w

    def take(self, error: Tensor, state: State, group: State, rule: Rule) -> None:
        """Makes something of the error of a step."""


class Master(Dropped):
    """Errors are kept and added to the weights: what full precision would do."""

    keeps = True

    def start(self, w: Tensor, state: State) -> Tensor:
        return w + state["error"] if "error" in state else w

    def take(self, error: Tensor, state: State, group: State, rule: Rule) -> None:
        state["error"] = error


class Injected(Dropped):
    """Errors go into the momentum; below `lr_floor` of the peak rate, 1 / lr stays as it is."""

    def __init__(self, *, lr_floor: float) -> None:
        if not 0 <= lr_floor <= 1:
            raise ValueError(
                f"optim.build.error.lr_floor must lie in [0, 1], got {lr_floor}: it is a share of "
                "the peak rate; try 0.1"
            )
        self.lr_floor = lr_floor

    def take(self, error: Tensor, state: State, group: State, rule: Rule) -> None:
        self.inject(error * (1 - 1 / rule.beta), state, group, rule)

    def inject(self, weights: Tensor, state: State, group: State, rule: Rule) -> None:
        """Adds to the momentum what stands for so much of the weights."""
        shrink = 1 - group["lr"] * group["weight_decay"]
        lr = max(group["lr"], self.lr_floor * group["peak_lr"])
        state["momentum"] += weights * rule.unit(state, group["eps"]) * (shrink / lr)


class Exact(Injected):
    """Errors go into the momentum, and are kept to tell what of them is in it already."""

    keeps = True

    def take(self, error: Tensor, state: State, group: State, rule: Rule) -> None:
        before = state.get("error", torch.zeros_like(error))
        self.inject(before - error / rule.beta, state, group, rule)
        state["error"] = error


class Quantised(Optimizer):
    """Takes the groups of `optim.groups`; those that are hidden stay on the grid.

    With `stochastic` a generator drawn from `seed` rounds; its place is part of the state.
    """

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        rule: Rule,
        error: Dropped,
        grid: Grid,
        stochastic: bool,
        seed: int,
    ) -> None:
        self.rule, self.error, self.grid = rule, error, grid
        self._stochastic, self._seed = stochastic, seed
        self._generator: torch.Generator | None = None
        self._drawn: Tensor | None = None
        super().__init__([{**group, "peak_lr": group["lr"]} for group in groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)
        return loss

    def _move(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state, on_grid = self.state[p], group["hidden"]
        if on_grid and not state:
            p.copy_(self.grid(p, None))
        start = self.error.start(p, state)
        direction = self.rule.direction(state, grad, group["eps"])
        moved = start * (1 - group["lr"] * group["weight_decay"]) - group["lr"] * direction
        p.copy_(self.grid(moved, self._rounding(p.device)) if on_grid else moved)
        if on_grid:
            self.error.take(moved - p, state, group, self.rule)

    def _rounding(self, device: torch.device) -> torch.Generator | None:
        """The generator, where rounding is stochastic."""
        if self._stochastic and self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self._seed)
            if self._drawn is not None:
                self._generator.set_state(self._drawn)
        return self._generator

    def memory(self) -> dict[str, int]:
        """Bytes that hidden matrices would take stored on the grid, and what is saved.

        `saved` is against a master copy beside them; `moments` is what both need.
        """
        hidden = [p for group in self.param_groups if group["hidden"] for p in group["params"]]
        n = sum(p.numel() for p in hidden)
        rows = sum(p.numel() // p.shape[-1] for p in hidden)
        kept = n * FLOAT_BYTES * self.error.keeps
        return {
            "weights": n * self.grid.bits // 8 + rows * FLOAT_BYTES,
            "moments": n * FLOAT_BYTES * self.rule.n_moments,
            "kept": kept,
            "saved": n * FLOAT_BYTES - kept,
        }

    def state_dict(self) -> dict[str, Any]:
        """torch's, with the place of the generator and the memory that is saved."""
        drawn = self._drawn if self._generator is None else self._generator.get_state()
        return {**super().state_dict(), "rounding": drawn, "memory": self.memory()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the rounding where the state was taken."""
        self._generator, self._drawn = None, state_dict["rounding"]
        super().load_state_dict(state_dict)
