from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.optim.problem import check_resumes, gpt_and_groups, group, run
from windtunnel.optim.adafactor import adafactor

SETTINGS = {"beta2_decay": -0.8, "least_size": 0.01, "clip": 1.0}


def test_ten_steps_equal_torch() -> None:
    shapes = [(5, 3), (4,)]
    ours = run(lambda ps: adafactor([group(ps)], **SETTINGS), *shapes)
    theirs = run(
        lambda ps: torch.optim.Adafactor(ps, lr=0.05, weight_decay=0.1, eps=(1e-8, 0.01)), *shapes
    )
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_an_update_has_the_size_of_its_matrix_times_the_rate() -> None:
    """The first update of rank one is exact: sign(g) times lr times the root mean square."""
    p = torch.nn.Parameter(3.0 * torch.ones(4, 2))
    p.grad = torch.outer(torch.tensor([1.0, -2.0, 3.0, 4.0]), torch.tensor([1.0, -1.0]))
    adafactor([group([p], weight_decay=0.0)], **SETTINGS).step()
    torch.testing.assert_close(p.detach(), 3 - 0.15 * p.grad.sign())


def test_under_mup_a_hidden_update_shrinks_as_the_width() -> None:
    """m^-1/2 from the matrix and m^-1/2 from the rate give Adam's m^-1."""
    sizes = []
    for width in (32, 512):
        model, groups = gpt_and_groups("relative", width=width, depth=1)
        w = model.blocks[0].mlp.up.weight
        before = w.detach().clone()
        w.grad = torch.randn(w.shape, generator=torch.Generator().manual_seed(0))
        for g in groups:
            g["weight_decay"] = 0.0
        adafactor(groups, **SETTINGS).step()
        sizes.append(float((w.detach() - before).square().mean().sqrt()))
    assert sizes[0] / sizes[1] == pytest.approx(16, rel=0.05)


def test_it_resumes_and_learns() -> None:
    check_resumes(partial(adafactor, **SETTINGS), "relative")
