"""Distances: each by its definition, its limits, its invariances, and block by block."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.model.distances import BETWEEN, NAMES, make_distance, rows
from windtunnel.model.head import elementwise
from windtunnel.model.head.elementwise import Blocked, Minkowski, SoftHamming
from windtunnel.model.head.product import Cosine, Euclid, LowRankMahalanobis, Mahalanobis

N, V, D = 5, 7, 6
STATES, ROWS = rows(N, D, 0), rows(V, D, 1)


def by_pairs(between: Any, states: Tensor = STATES, own: Tensor = ROWS) -> Tensor:
    """d [N, V], one pair at a time."""
    return torch.stack([torch.stack([between(x, w) for w in own]) for x in states])


def quadratic(x: Tensor, w: Tensor) -> Tensor:
    """sqrt((x - w)^T M (x - w) / D), M = diag(s^2) + (D / r) U^T U."""
    distance = make_distance("mahalanobis_low_rank", D)
    s, U = distance.gain.detach(), distance.directions.detach()
    M = torch.diag(s**2) + (D / len(U)) * U.T @ U
    return ((x - w) @ M @ (x - w) / D).sqrt()


DEFINED = {
    "euclid": lambda x, w: ((x - w) ** 2).mean().sqrt(),
    "cosine": lambda x, w: 1 - (x @ w) / (x.norm() * w.norm()),
    "mahalanobis": lambda x, w: (
        ((x - w) ** 2 * make_distance("mahalanobis", D).gain.detach() ** 2).mean().sqrt()
    ),
    "mahalanobis_low_rank": quadratic,
    "manhattan": lambda x, w: (x - w).abs().sum() / D,
    "minkowski": lambda x, w: ((x - w).abs() ** 3).mean() ** (1 / 3),
    "chebyshev": lambda x, w: (x - w).abs().max(),
    "canberra": lambda x, w: ((x - w).abs() / (x.abs() + w.abs())).sum() / D,
    "bray_curtis": lambda x, w: (x - w).abs().sum() / (x + w).abs().sum(),
    "bray_curtis_bounded": lambda x, w: (x - w).abs().sum() / (x.abs() + w.abs()).sum(),
    "hamming": lambda x, w: torch.sigmoid(((x - w).abs() - 0.5) / 0.1).sum() / D,
}


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_a_power_mean_neither_vanishes_nor_overflows(size: float) -> None:
    """In float32 the twelfth power of these differences does."""
    between = Minkowski(12.0)
    expected = size * between(STATES[:, None].double(), ROWS.double())
    found = between(size * STATES[:, None].float(), size * ROWS.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("distance", [Euclid, Cosine])
def test_a_state_on_its_row_is_at_no_distance_whatever_rounding_makes_of_it(distance: Any) -> None:
    """In float32 |h|^2 + |w|^2 - 2 h.w and 1 - cos come out below 0 for some of these."""
    own = 10 * torch.randn(500, 33, generator=torch.Generator().manual_seed(0))
    log_NV = distance(33, eps=1e-10)(own, own)
    assert log_NV.isfinite().all()
    assert log_NV.diagonal().exp().max() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_a_distance_is_what_its_definition_says(name: str) -> None:
    found = make_distance(name, D)(STATES, ROWS).exp()
    # Canberra and Bray-Curtis raise their denominators by 1e-6 per coordinate.
    torch.testing.assert_close(found, by_pairs(DEFINED[name]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_gradients_of_states_rows_and_parameters(name: str, eps: float) -> None:
    distance = make_distance(name, D, eps, block=40)
    states, own = STATES.clone().requires_grad_(), ROWS.clone().requires_grad_()
    parameters = tuple(distance.parameters())
    assert torch.autograd.gradcheck(lambda x, w, *_: distance(x, w), (states, own, *parameters))


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("block", [1, 3 * N * D, 4 * N * D - 1])
def test_blocks_change_nothing(name: str, block: int) -> None:
    found = []
    for size in (block, 1 << 22):
        states, own = STATES.clone().requires_grad_(), ROWS.clone().requires_grad_()
        logs = make_distance(name, D, 1e-3, size)(states, own)
        logs.sin().sum().backward()
        found.append((logs, states.grad, own.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_tokens_times_vocabulary_times_width_is_kept_or_made(name: str) -> None:
    """Not for the backward pass, and no larger than a block in either pass."""
    n, v, d = 32, 64, 16
    block = 4 * n * d
    distance = make_distance(name, d, 1e-3, block)
    states, own = rows(n, d, 0).requires_grad_(), rows(v, d, 1).requires_grad_()
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), Largest() as made:
        logs = distance(states, own)
        logs.sum().backward()
    assert max(kept) <= n * v
    assert n * v <= made.numel <= max(n * v, block)


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that any operation made."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, (tuple, list)) else (made,):
            # Expanded views hold no numbers of their own.
            if isinstance(x, Tensor) and 0 not in x.stride():
                self.numel = max(self.numel, x.numel())
        return made


# ---------------------------------------------------------------------------------------- limits


def power(p: float) -> Tensor:
    return Blocked(D, between=Minkowski(p), eps=0.0, block=100)(STATES, ROWS).exp()


def test_minkowski_has_its_limits() -> None:
    euclid = Euclid(D, eps=0.0)(STATES, ROWS).exp()
    torch.testing.assert_close(power(2.0), euclid, rtol=1e-13, atol=0)
    manhattan = by_pairs(DEFINED["manhattan"])
    torch.testing.assert_close(power(1.0), manhattan, rtol=1e-13, atol=0)
    largest = by_pairs(DEFINED["chebyshev"])
    torch.testing.assert_close(power(2000.0), largest, rtol=2e-3, atol=0)
    assert power(2000.0).isfinite().all()
    errors = [float((power(p) / largest - 1).abs().max()) for p in (10.0, 100.0, 1000.0)]
    assert errors == sorted(errors, reverse=True)


def test_mahalanobis_without_a_shape_is_euclid() -> None:
    euclid = Euclid(D, eps=1e-3)(STATES, ROWS)
    diagonal = Mahalanobis(D, eps=1e-3).double()
    torch.testing.assert_close(diagonal(STATES, ROWS), euclid, rtol=0, atol=1e-15)
    low_rank = LowRankMahalanobis(D, rank=2, eps=1e-3).double()
    torch.nn.init.zeros_(low_rank.directions)
    torch.testing.assert_close(low_rank(STATES, ROWS), euclid, rtol=0, atol=1e-14)


def test_on_the_unit_sphere_the_square_is_twice_the_cosine_distance() -> None:
    states, own = (x / x.norm(dim=-1, keepdim=True) for x in (STATES, ROWS))
    euclid = Euclid(D, eps=0.0)(states, own) + 0.5 * math.log(D)
    cosine = Cosine(D, eps=0.0)(states, own)
    torch.testing.assert_close(2 * euclid, math.log(2) + cosine, rtol=0, atol=1e-14)
    theta = torch.acos(states @ own.T)
    torch.testing.assert_close(2 * euclid, torch.log(2 - 2 * torch.cos(theta)), rtol=1e-12, atol=0)


def test_ranges() -> None:
    states, own = 100 * STATES, 0.01 * ROWS
    for pair in ((states, own), (STATES, ROWS), (STATES, -STATES)):
        for name in ("canberra", "bray_curtis_bounded"):
            found = make_distance(name, D)(*pair).exp()
            assert found.min() >= 0
            assert found.max() <= 1
    found = make_distance("bray_curtis", D)(STATES.abs(), ROWS.abs()).exp()
    assert found.max() <= 1
    assert make_distance("bray_curtis", D)(STATES, -ROWS).exp().max() > 1


def test_soft_hamming_counts_hard_as_it_cools() -> None:
    counted = by_pairs(lambda x, w: ((x - w).abs() > 0.5).double().mean())
    cold = Blocked(D, between=SoftHamming(0.5, 1e-6), eps=0.0, block=1000)(STATES, ROWS).exp()
    torch.testing.assert_close(cold, counted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_on_its_row_has_a_finite_gradient(name: str) -> None:
    states = ROWS[:2].clone().float().requires_grad_()
    own = ROWS.clone().float().requires_grad_()
    distance = make_distance(name, D, 1e-4).float()
    (-distance(states, own)).sum().backward()
    assert states.grad is not None
    assert own.grad is not None
    assert states.grad.isfinite().all()
    assert own.grad.isfinite().all()


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(Minkowski, 0.5), r"between\.p must be at least 1, got 0\.5"),
        (partial(SoftHamming, -1.0, 0.1), r"threshold >= 0 and temperature > 0, got -1\.0"),
        (partial(SoftHamming, 0.5, 0.0), r"temperature > 0, got 0\.5 and 0\.0"),
        (partial(LowRankMahalanobis, D, rank=0, eps=0.0), r"rank must lie .* got 0: .*mahalan"),
        (partial(LowRankMahalanobis, D, rank=7, eps=0.0), r"model\.width=6, got 7"),
        (partial(Blocked, D, between=elementwise.manhattan, eps=0.0, block=0), r"block .* got 0"),
    ],
)
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
