"""ECO against weights that are kept finely, and against its own exact form."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from tests.optim.problem import check_resumes, gpt_and_groups, group, run
from windtunnel.optim.eco import Adam, Dropped, Exact, Injected, Master, Momentum, Quantised
from windtunnel.optim.grid import Float8, Integer


class Step:
    """A grid of one step everywhere, so that it does not move with the weights."""

    bits = 8

    def __init__(self, step: float) -> None:
        self.step = step

    def __call__(self, w: torch.Tensor, generator: Any) -> torch.Tensor:
        return (w / self.step).round() * self.step


class NoGrid:
    bits = 32

    def __call__(self, w: torch.Tensor, generator: Any) -> torch.Tensor:
        return w


def quantised(parameters, *, rule=None, error=None, grid=None, stochastic=False, **changes):
    return Quantised(
        [group(parameters, **changes)],
        rule=rule or Momentum(beta=0.9),
        error=error or Injected(lr_floor=0.0),
        grid=grid or Step(0.05),
        stochastic=stochastic,
        seed=1,
    )


# ------------------------------------------------------- exact against master


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("error", [Exact(lr_floor=0.0), Master()])
def test_the_weights_are_those_of_a_master_copy(decay, error) -> None:
    """400 steps, and not the last bit differs; the start lies on the grid."""
    grid, draw = Step(0.05), torch.Generator().manual_seed(0)
    A = torch.randn(20, 6, generator=draw, dtype=torch.float64)
    y = torch.randn(20, generator=draw, dtype=torch.float64)
    w = torch.nn.Parameter(grid(torch.randn(1, 6, generator=draw, dtype=torch.float64), None))
    master, m = w.detach().clone(), torch.zeros_like(w)
    optimizer = quantised([w], error=error, grid=grid, weight_decay=decay, lr=0.02)
    for _ in range(400):
        w.grad = ((A @ w.detach()[0] - y) @ A / 20)[None]
        on_grid = grid(master, None)
        m = 0.9 * m + 0.1 * ((A @ on_grid[0] - y) @ A / 20)[None]
        master = master * (1 - 0.02 * decay) - 0.02 * m
        optimizer.step()
        assert (w.detach() - grid(master, None)).abs().max() == 0.0
    assert (w.detach() - master).abs().max() > 1e-3


def test_eco_is_the_exact_form_where_the_error_stays() -> None:
    e, rule = torch.tensor([[0.3]]), Momentum(beta=0.9)
    states: list[dict[str, Any]] = []
    for error in (Injected(lr_floor=0.0), Exact(lr_floor=0.0)):
        state = {"momentum": torch.zeros(1, 1), "error": e}
        error.take(e, state, {"lr": 0.1, "weight_decay": 0.5, "eps": 0, "peak_lr": 0.1}, rule)
        states.append(state)
    torch.testing.assert_close(states[0]["momentum"], states[1]["momentum"])
    assert states[0]["momentum"].item() == pytest.approx(0.95 / 0.1 * (1 - 1 / 0.9) * 0.3)


def test_with_adam_the_momentum_takes_what_moves_a_weight_by_the_error() -> None:
    """The next step's share of what was fed in is beta - 1 times the error, at the same v and t."""
    rule, w = Adam(betas=(0.9, 0.95)), torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
    optimizer = quantised([w], rule=rule, grid=Step(0.7), lr=0.1, weight_decay=0.0)
    w.grad = torch.tensor([[0.3, -2.0]])
    state = optimizer.state[w]
    optimizer.step()
    fed = state["momentum"] - 0.1 * w.grad
    unit = rule.unit(state, 1e-8)
    error = torch.tensor([[0.7, 2.1]]) - 0.1 * torch.tensor([[1.0, -1.0]]) - w.detach()
    torch.testing.assert_close(0.9 * 0.1 * fed / unit, (0.9 - 1) * error, atol=1e-5, rtol=1e-4)


# ------------------------------------------------------- without a grid, or hidden


def test_without_a_grid_it_is_adamw() -> None:
    for changes in ({"grid": NoGrid()}, {"hidden": False}):
        ours = run(
            lambda ps, c=changes: quantised(ps, rule=Adam(betas=(0.9, 0.95)), **c), (5, 3), (4,)
        )
        theirs = run(
            lambda ps: torch.optim.AdamW(ps, lr=0.05, weight_decay=0.1, betas=(0.9, 0.95)),
            (5, 3),
            (4,),
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_without_a_grid_it_is_momentum() -> None:
    ours = run(partial(quantised, grid=NoGrid(), weight_decay=0.0), (5, 3))
    theirs = run(lambda ps: torch.optim.SGD(ps, lr=0.005, momentum=0.9), (5, 3))
    torch.testing.assert_close(ours, theirs)


def test_hidden_matrices_alone_lie_on_the_grid() -> None:
    model, groups = gpt_and_groups("adam")
    optimizer = Quantised(
        groups,
        rule=Adam(betas=(0.9, 0.95)),
        error=Injected(lr_floor=0.1),
        grid=Integer(bits=4),
        stochastic=True,
        seed=1,
    )
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert max(len(row.unique()) for row in model.blocks[0].mlp.up.weight.detach()) <= 15
    assert len(model.embedding.weight.detach()[0].unique()) == 32


# ------------------------------------------------------- what errors cost


def excess(error: Dropped, lr: float) -> float:
    """f - f* of least squares, a mean over the last 200 iterates of 40 / lr steps."""
    draw = torch.Generator().manual_seed(0)
    A = torch.randn(20, 6, generator=draw, dtype=torch.float64)
    y = torch.randn(20, generator=draw, dtype=torch.float64)
    best = torch.linalg.lstsq(A, y[:, None]).solution[:, 0]
    w = torch.nn.Parameter(torch.zeros(1, 6, dtype=torch.float64))
    optimizer = quantised([w], error=error, weight_decay=0.0, lr=lr)
    total = torch.zeros(6, dtype=torch.float64)
    steps = int(40 / lr)
    for step in range(steps):
        w.grad = ((A @ w.detach()[0] - y) @ A / 20)[None]
        optimizer.step()
        total += w.detach()[0] * (step >= steps - 200)
    return float(((A @ (total / 200 - best)) ** 2).sum() / 40)


def test_fed_back_errors_cost_little_and_lost_ones_much() -> None:
    lost = {lr: excess(Dropped(), lr) for lr in (0.05, 0.02)}
    fed = {lr: excess(Injected(lr_floor=0.0), lr) for lr in (0.05, 0.02)}
    kept = {lr: excess(Master(), lr) for lr in (0.05, 0.02)}
    for lr in lost:
        assert kept[lr] < fed[lr] < 0.05 * lost[lr]


def test_at_the_end_of_a_decay_the_floor_keeps_the_momentum_small() -> None:
    """Without one it grows as 1 / lr; weights stay where they are in both cases."""
    largest = {}
    for floor in (0.0, 0.1):
        w = torch.nn.Parameter(torch.full((1, 4), 0.33, dtype=torch.float64))
        optimizer = quantised([w], error=Injected(lr_floor=floor), lr=0.1, weight_decay=0.0)
        seen = []
        for step in range(2000):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 2000)
            w.grad = w.detach() - 0.313
            optimizer.step()
            seen.append(float(optimizer.state[w]["momentum"].abs().max()))
        largest[floor] = max(seen[-100:])
        assert (w.detach() - 0.313).abs().max() < 0.051
    assert 3 * largest[0.1] < largest[0.0]


# ------------------------------------------------------- state and settings


@pytest.mark.parametrize("error", [Injected(lr_floor=0.1), Exact(lr_floor=0.1), Master()])
@pytest.mark.parametrize("stochastic", [False, True])
def test_it_resumes_with_the_same_draws(error, stochastic) -> None:
    rule = Adam(betas=(0.9, 0.95))
    settings = {"rule": rule, "error": error, "stochastic": stochastic, "seed": 3}
    check_resumes(partial(Quantised, grid=Float8(), **settings), "adam")


def test_momentum_resumes_and_learns() -> None:
    settings = {"rule": Momentum(beta=0.9), "error": Injected(lr_floor=0.1), "seed": 3}
    check_resumes(partial(Quantised, grid=Float8(), stochastic=True, **settings), "sgd")


def test_a_state_that_was_never_drawn_from_can_be_taken_twice() -> None:
    optimizer = quantised([torch.nn.Parameter(torch.zeros(2, 2))], stochastic=True)
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state_dict()["rounding"] is None


def test_the_seed_draws_the_rounding() -> None:
    def last(seed: int) -> torch.Tensor:
        return run(
            lambda ps: Quantised(
                [group(ps)],
                rule=Momentum(beta=0.9),
                error=Injected(lr_floor=0.0),
                grid=Integer(bits=4),
                stochastic=True,
                seed=seed,
            ),
            (5, 3),
        )[0]

    assert torch.equal(last(1), last(1))
    assert not torch.equal(last(1), last(2))


def test_memory_is_reported_in_the_state() -> None:
    p = torch.nn.Parameter(torch.zeros(10, 100))
    adam = Adam(betas=(0.9, 0.95))
    fed = quantised([p], rule=adam, grid=Float8()).state_dict()["memory"]
    assert fed == {"weights": 1000 + 40, "moments": 8000, "kept": 0, "saved": 4000}
    kept = quantised([p], grid=Integer(bits=4), error=Master()).state_dict()["memory"]
    assert kept == {"weights": 500 + 40, "moments": 4000, "kept": 4000, "saved": 0}


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_momentum_that_errors_cannot_be_fed_to_is_refused(beta) -> None:
    with pytest.raises(ValueError, match=r"optim\.build\.rule: a momentum must lie above 0"):
        Momentum(beta=beta)


@pytest.mark.parametrize("floor", [-0.1, 1.1])
def test_a_floor_that_is_no_share_is_refused(floor) -> None:
    with pytest.raises(ValueError, match=r"optim\.build\.error\.lr_floor must lie in \[0, 1\]"):
        Injected(lr_floor=floor)


def test_what_has_no_gradient_stays() -> None:
    p = torch.nn.Parameter(torch.full((2, 2), 0.123))
    quantised([p]).step()
    assert torch.equal(p.detach(), torch.full((2, 2), 0.123))
