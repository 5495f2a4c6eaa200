from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.optim.problem import check_resumes, group, run
from windtunnel.optim.lion import Lion


class ByHand(torch.optim.Optimizer):
    """Program 1 of arXiv 2302.06675, number by number."""

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", [0.0] * p.numel())
            flat, grad = p.data.view(-1), p.grad.view(-1)
            for i in range(p.numel()):
                g = float(grad[i])
                mixed = 0.9 * m[i] + 0.1 * g
                sign = (mixed > 0) - (mixed < 0)
                flat[i] = float(flat[i]) - 0.05 * (sign + 0.1 * float(flat[i]))
                m[i] = 0.99 * m[i] + 0.01 * g


def test_ten_steps_equal_the_program() -> None:
    shapes = [(4, 3), (5,)]
    ours = run(lambda ps: Lion([group(ps)], betas=(0.9, 0.99)), *shapes)
    for a, b in zip(ours, run(lambda ps: ByHand(ps, {}), *shapes), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_size_of_the_gradient_does_not_matter() -> None:
    moved = []
    for size in (1.0, 1e-4):
        p = torch.nn.Parameter(torch.zeros(3))
        p.grad = size * torch.tensor([2.0, -1.0, 0.0])
        Lion([group([p])], betas=(0.9, 0.99)).step()
        moved.append(p.detach())
    assert torch.equal(*moved)
    assert moved[0].tolist() == pytest.approx([-0.05, 0.05, 0.0])


def test_it_resumes_and_learns() -> None:
    check_resumes(partial(Lion, betas=(0.9, 0.99)), "adam")


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0), (-0.1, 0.9)])
def test_bad_betas_are_refused(betas) -> None:
    with pytest.raises(ValueError, match=r"optim\.build\.betas must be two numbers in \[0, 1\)"):
        Lion([group([torch.nn.Parameter(torch.zeros(2))])], betas=betas)
