from __future__ import annotations

import torch

from tests.loss.drawn import draw_logits, draw_targets, ignoring
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.tokens import at_target, mean_scored, plain_nll


def test_the_score_is_that_of_the_softmax_and_the_mean_is_over_scored_tokens() -> None:
    logits, targets = draw_logits(2, 5, 11), ignoring(draw_targets(2, 5))
    nll, scored = plain_nll(logits, targets), targets != IGNORE_INDEX
    expected = [-logits[b, t].softmax(0)[targets[b, t]].log() for b, t in scored.nonzero().tolist()]
    torch.testing.assert_close(nll[scored], torch.stack(expected))
    assert nll[~scored].eq(0).all()
    torch.testing.assert_close(mean_scored(nll + 1, targets), torch.stack(expected).mean() + 1)
    assert mean_scored(nll, torch.full_like(targets, IGNORE_INDEX)) == 0


def test_the_entry_of_a_target_is_found() -> None:
    values, targets = draw_logits(1, 3, 11), torch.tensor([[4, IGNORE_INDEX, 10]])
    assert at_target(values, targets).tolist() == [
        [values[0, 0, 4].item(), values[0, 1, 0].item(), values[0, 2, 10].item()]
    ]
