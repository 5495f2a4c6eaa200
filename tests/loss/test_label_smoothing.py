from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.loss.drawn import batch_of, draw_logits, draw_targets, identity, ignoring
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.label_smoothing import LabelSmoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_equals_torch_with_its_gradient(smoothing: float) -> None:
    targets = ignoring(draw_targets(2, 5))
    logits = draw_logits(2, 5, 11).float().requires_grad_()
    ours = LabelSmoothing(smoothing=smoothing)(logits, identity, batch_of(targets)).loss
    theirs = F.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORE_INDEX,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*slopes)


def test_the_least_is_the_entropy_of_the_target() -> None:
    q = torch.full((11,), 0.1 / 11)
    q[4] += 0.9
    output = LabelSmoothing(smoothing=0.1)(
        q.log().view(1, 1, 11), identity, batch_of(torch.tensor([[4]]))
    )
    assert output.loss.item() == pytest.approx(0.513962, abs=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_a_share_outside_of_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.smoothing must lie in 0 \.\. 1.*got"):
        LabelSmoothing(smoothing=smoothing)
