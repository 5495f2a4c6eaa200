from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from windtunnel.loss.projection import projection
from windtunnel.model.head import LinearHead


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_the_factors_give_the_logits(softcap: float | None) -> None:
    table = nn.Parameter(torch.randn(7, 4, generator=torch.Generator().manual_seed(0)))
    head = LinearHead(4, 7, table, tied=True, zero=False, softcap=softcap, multiplier=1.5)
    head.scale = 0.25
    hidden = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    scaled, weight, bias, cap = projection(head, hidden, "loss=cut_cross_entropy")
    logits = F.linear(scaled, weight, bias)
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    assert cap == softcap
    torch.testing.assert_close(logits, head(hidden), rtol=0, atol=0)
    expected = F.linear(hidden, table) * 0.375
    if softcap is None:
        torch.testing.assert_close(logits, expected)


def test_a_head_that_is_no_product_is_refused_with_the_alternative() -> None:
    with pytest.raises(ValueError, match=r"loss=x needs a head .*Identity is none.*cross_entropy"):
        projection(nn.Identity(), torch.zeros(1, 1, 1), "loss=x")
