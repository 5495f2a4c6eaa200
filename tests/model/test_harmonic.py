"""Harmonic heads: the paper's numbers, what a head must keep, and how it follows the width."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.distances import NAMES, build, make_distance, make_head, rows
from tests.model.parts import drawn_gpt, make_gpt, some_tokens
from windtunnel.interfaces import Batch, Role
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.model.head.harmonic import HarmonicHead
from windtunnel.model.parametrization import initialise, multipliers, mup, standard
from windtunnel.training import Objective


def test_distances_of_one_and_two_under_n_three_give_eight_ninths() -> None:
    head = make_head("euclid", width=1, vocab_size=2, exponent=3.0)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0], [2.0]]))
    p = head(torch.zeros(1, 1, 1, dtype=torch.float64)).softmax(-1)
    torch.testing.assert_close(
        p[0, 0], torch.tensor([8 / 9, 1 / 9], dtype=torch.float64), atol=1e-15, rtol=0
    )
    squared = make_head("euclid", width=1, vocab_size=2, exponent=3.0, exponent_on="d2")
    squared.load_state_dict(head.state_dict())
    p = squared(torch.zeros(1, 1, 1, dtype=torch.float64)).softmax(-1)
    torch.testing.assert_close(p[0, 0, 0].item(), 64 / 65, atol=1e-15, rtol=0)


def probabilities(head: HarmonicHead, hidden: Tensor, weight: Tensor) -> Tensor:
    with torch.no_grad():
        head.weight.copy_(weight)
        return head(hidden).softmax(-1)


def test_rotation_translation_and_scale_change_no_probability() -> None:
    head, width = make_head("euclid"), 12
    hidden, weight = rows(9, width, 0), rows(17, width, 1)
    turn = torch.linalg.qr(rows(width, width, 2)).Q
    shift = rows(1, width, 3)
    p = probabilities(head, hidden, weight)
    moves = (lambda x: x @ turn, lambda x: x + shift, lambda x: 3.7 * x)
    for move in moves:
        moved = probabilities(head, move(hidden), move(weight))
        torch.testing.assert_close(moved, p, atol=1e-15, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_no_exponent_is_no_preference(name: str) -> None:
    head = make_head(name, exponent=1e-15)
    loss = -head(rows(9, 12, 0)).log_softmax(-1)
    torch.testing.assert_close(loss, torch.full_like(loss, math.log(17)), atol=1e-13, rtol=0)


def test_the_gradient_is_the_papers() -> None:
    """dL/dx = n [(x - w_y) / d_y^2 - sum_j p_j (x - w_j) / d_j^2]."""
    head = make_head("euclid", exponent=5.0)
    x = rows(1, 12, 0).requires_grad_()
    logits = head(x)
    (-logits.log_softmax(-1)[0, 4]).backward()
    w, p = head.weight.detach(), logits.detach().softmax(-1)[0]
    pull = (x.detach() - w) / (x.detach() - w).square().sum(-1, keepdim=True)
    expected = 5.0 * (pull[4] - p @ pull)
    torch.testing.assert_close(x.grad[0], expected, atol=1e-12, rtol=0)  # type: ignore[index]


def test_it_tells_a_centre_from_its_neighbours_where_no_linear_head_can() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]).double()
    head = make_head("euclid", width=2, vocab_size=5, exponent=1.0)
    p = probabilities(head, points + 1e-3, points)
    assert p.argmax(-1).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_it_in_float32(name: str) -> None:
    head = make_head(name, distance=lambda at: make_distance(name, at, 1e-4)).float()
    hidden = rows(9, 12, 0).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(hidden)
    assert found.dtype == torch.float32
    exact = head.double()(hidden.double())
    torch.testing.assert_close(found.double(), exact, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_gpt_trains_with_it_tied_and_untied(name: str) -> None:
    for tied in (False, True):
        head = partial(
            HarmonicHead, tied=tied, exponent=1.0, growth=0.5, exponent_on="d",
            distance=build(name, 1e-4),
        )  # fmt: skip
        model = drawn_gpt(head=head)
        assert (model.head.weight is model.embedding.weight) is tied
        named = {key for key, _ in model.named_parameters(remove_duplicate=False)}
        places = model.roles()
        assert {k for k, p in places.items() if p.role is not Role.SCORE} == named
        tokens = some_tokens(model)
        batch = Batch(tokens[:, :-1], tokens[:, 1:], None, tokens[:, 0])
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        losses = []
        for _ in range(12):
            loss = Objective(model, CrossEntropy())(batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        assert losses[0] < math.log(61) + 1
        assert losses[-1] < losses[0] - 0.2


class Lookup(nn.Module):
    """The smallest model with a head."""

    def __init__(self, head: HarmonicHead) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(17, 12, dtype=torch.float64), head

    def forward(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        return self.table(tokens_BT)


@pytest.mark.parametrize("name", ["euclid", pytest.param("minkowski", marks=pytest.mark.slow)])
def test_compiled_whole_it_is_the_same(name: str) -> None:
    """In one graph: no break, for a product and for blocks."""
    torch.manual_seed(0)
    model = Lookup(make_head(name, distance=lambda at: make_distance(name, at, 1e-4, block=1200)))
    tokens = torch.arange(17).view(1, 17)
    batch = Batch(tokens, tokens.flip(1), None, tokens[:, 0])
    found = []
    for compiled in (False, True):
        objective: Any = Objective(model, CrossEntropy())
        if compiled:
            objective = torch.compile(objective, fullgraph=True, backend="aot_eager")
        model.zero_grad()
        loss = objective(batch).loss
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-5)
    torch._dynamo.reset()


# ------------------------------------------------------------------------------------- the width


def wide(name: str, width: int, growth: float, rule: Any) -> tuple[Any, dict[str, Any]]:
    head = partial(
        HarmonicHead, tied=False, exponent=1.0, growth=growth, exponent_on="d",
        distance=build(name, 1e-4),
    )  # fmt: skip
    model = make_gpt(width=width, depth=1, base_depth=1, head=head)
    table = multipliers(model, rule, "adam")
    initialise(model, table, init_std=0.5, generator=torch.Generator().manual_seed(1))
    return model, table


def test_the_exponent_is_the_bases_under_mup_and_the_widths_otherwise() -> None:
    for growth in (0.0, 0.5, 1.0):
        assert wide("euclid", 128, growth, mup)[0].head.n == pytest.approx(32**growth)
        assert wide("euclid", 128, growth, standard)[0].head.n == pytest.approx(128**growth)


def test_rows_keep_their_spread_and_rate() -> None:
    for name in NAMES:
        model, table = wide(name, 128, 0.5, mup)
        row = table["head.weight"]
        assert (row.init_std, row.lr) == (1.0, 1.0)
        assert model.head.weight.std().item() == pytest.approx(0.5, rel=0.03)
    low_rank, table = wide("mahalanobis_low_rank", 128, 0.5, mup)
    row = table["head.distance.directions"]
    assert (row.init_std, row.lr) == (1.0, 1.0)
    assert low_rank.head.distance.scale == 0.25


def moves(name: str, width: int, growth: float, rule: Any) -> tuple[float, float]:
    """Spread of the logits over the tokens at the start, and what four steps do to them.

    The head alone, on states of O(1), since the network below has its own rules.
    """
    head, table = wide(name, width, growth, rule)
    head = head.head
    groups = [
        {"params": [p], "lr": 0.02 * table[f"head.{key}"].lr} for key, p in head.named_parameters()
    ]
    optimizer = torch.optim.Adam(groups)
    centres = rows(61, width, 5).float()
    targets = torch.arange(128) % 61
    hidden = centres[targets] + 0.5 * rows(128, width, 6).float()
    before = head(hidden).detach().log_softmax(-1)
    for _ in range(4):
        loss = nn.functional.cross_entropy(head(hidden), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = head(hidden).detach().log_softmax(-1)
    at = torch.arange(128)
    return before.std(-1).mean().item(), (after - before)[at, targets].mean().item()


WIDTHS = (32, 64, 128, 256)


def slope(values: list[float]) -> float:
    """Of log2 value on log2 width."""
    x = torch.tensor(WIDTHS).log2().double()
    y = torch.tensor(values).log2().double()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


@pytest.mark.parametrize("name", NAMES)
def test_under_mup_what_the_rows_learn_is_free_of_the_width(name: str) -> None:
    starts, learned = zip(*(moves(name, width, 0.5, mup) for width in WIDTHS), strict=True)
    assert -0.45 < slope(list(learned)) < 0.15
    # Random rows average out, as those of a linear head do; not so for the largest of all.
    assert slope(list(starts)) == pytest.approx(-0.5 if name != "chebyshev" else -0.2, abs=0.2)


def test_an_exponent_that_grows_with_the_width_learns_faster_there() -> None:
    """The control: with n = sqrt(D) at every width, a step would move logits by sqrt(D)."""
    learned = [moves("euclid", width, 0.5, standard)[1] for width in WIDTHS]
    assert slope(learned) > 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exponent": 0.0}, r"model\.head\.exponent must be a number above 0, got 0\.0"),
        ({"exponent": math.inf}, r"exponent must be a number above 0, got inf"),
        ({"exponent": math.nan}, r"exponent must be a number above 0, got nan"),
        ({"growth": -0.5}, r"model\.head\.growth must lie between 0 and 1, got -0\.5"),
        ({"growth": 1.5}, r"growth must lie between 0 and 1, got 1\.5"),
        ({"exponent_on": "d3"}, r"model\.head\.exponent_on must be d or d2, got 'd3'"),
    ],
)
def test_bad_exponents_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_head("euclid", **changes)
