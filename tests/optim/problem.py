"""A small problem that optimisers are compared on: same start, same gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.model.parts import make_gpt
from windtunnel.model.parametrization import initialise, multipliers, mup
from windtunnel.optim.groups import parameter_groups


class Weights(nn.Module):
    """A few tensors, with gradients that depend on them and on the step."""

    def __init__(self, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.own = nn.ParameterList(
            nn.Parameter(torch.randn(shape, generator=draw, dtype=dtype)) for shape in shapes
        )
        self.goals = [torch.randn(shape, generator=draw, dtype=dtype) for shape in shapes]
        self.step = 0

    def set_gradients(self) -> None:
        draw = torch.Generator().manual_seed(100 + self.step)
        for p, goal in zip(self.own, self.goals, strict=True):
            p.grad = p.detach() - goal + 0.3 * torch.randn(p.shape, generator=draw, dtype=p.dtype)
        self.step += 1

    @property
    def values(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.own]


def run(
    build: Callable[[list[Tensor]], torch.optim.Optimizer],
    *shapes: tuple[int, ...],
    steps: int = 10,
    dtype: torch.dtype = torch.float32,
    lr_at: Callable[[int], float] | None = None,
) -> list[Tensor]:
    """The weights after so many steps."""
    weights = Weights(*shapes, dtype=dtype)
    optimizer = build(list(weights.own))
    for step in range(steps):
        for group in optimizer.param_groups:
            if lr_at is not None:
                group["lr"] = lr_at(step)
        weights.set_gradients()
        optimizer.step()
    return weights.values


def group(parameters: list[Tensor], **changes: Any) -> dict[str, Any]:
    """A group as `parameter_groups` makes them."""
    settings = {"lr": 0.05, "eps": 1e-8, "weight_decay": 0.1, "hidden": True}
    return {"params": parameters, **settings, **changes}


def gpt_and_groups(rule: Any, **changes: Any) -> tuple[Any, list[dict[str, Any]]]:
    """A drawn GPT and its groups under an update rule."""
    model = make_gpt(**changes)
    table = multipliers(model, mup, rule)
    initialise(model, table, init_std=0.2, generator=torch.Generator().manual_seed(1))
    settings: Any = {"lr": 0.02, "eps": 1e-8, "weight_decay": 0.1, "weight_decay_mode": "mup"}
    return model, parameter_groups(model, table, update_rule=rule, **settings)


def train_steps(
    model: Any, optimizer: torch.optim.Optimizer, steps: int, start: int = 0
) -> list[float]:
    """Losses of a few steps on the same made-up text."""
    losses = []
    for step in range(start, start + steps):
        draw = torch.Generator().manual_seed(step)
        tokens = torch.randint(0, model.vocab_size // 4, (8, model.length), generator=draw)

        def closure(tokens: Tensor = tokens) -> Tensor:
            optimizer.zero_grad()
            logits = model.head(model(tokens[:, :-1]))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


def check_resumes(build: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], rule: str) -> Any:
    """Six steps equal three, a state written and read without running code, and three more."""
    import io

    whole, groups = gpt_and_groups(rule)
    losses = train_steps(whole, build(groups), 6)
    assert losses[-1] < losses[0]
    first, groups = gpt_and_groups(rule)
    optimizer = build(groups)
    train_steps(first, optimizer, 3)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second, groups = gpt_and_groups(rule)
    optimizer = build(groups)
    second.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    train_steps(second, optimizer, 3, start=3)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    return optimizer
