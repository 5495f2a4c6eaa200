from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.optim.problem import check_resumes, group, run
from windtunnel.optim.sgd import SGD

SHAPES = [(5, 3), (4,)]


@pytest.mark.parametrize("nesterov", [False, True])
def test_ten_steps_equal_torch_without_decay(nesterov) -> None:
    settings = {"momentum": 0.9, "nesterov": nesterov}
    ours = run(lambda ps: SGD([group(ps, weight_decay=0.0)], **settings), *SHAPES)
    theirs = run(lambda ps: torch.optim.SGD(ps, lr=0.05, **settings), *SHAPES)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_decay_is_apart_from_the_gradient() -> None:
    """Against the recursion, written out; torch's own gives other weights."""
    found = run(lambda ps: SGD([group(ps)], momentum=0.9, nesterov=False), (5, 3))[0]

    class ByHand(torch.optim.Optimizer):
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                m = self.state[p].get("m", torch.zeros_like(p))
                self.state[p]["m"] = m = 0.9 * m + p.grad
                p.data = p.data * (1 - 0.05 * 0.1) - 0.05 * m

    torch.testing.assert_close(found, run(lambda ps: ByHand(ps, {}), (5, 3))[0])
    coupled = run(lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9, weight_decay=0.1), (5, 3))
    assert (found - coupled[0]).abs().max() > 1e-3


def test_it_resumes_and_learns() -> None:
    check_resumes(partial(SGD, momentum=0.9, nesterov=False), "sgd")


def test_what_has_no_gradient_is_not_decayed() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    SGD([group([p])], momentum=0.9, nesterov=False).step()
    assert torch.equal(p.detach(), torch.ones(3))
