from __future__ import annotations

import itertools

import pytest
import torch

from windtunnel.model.attention.softmax import attend_by_kernel, attend_by_products


def reference(q, k, v, mask, scale):
    """Attention one query at a time, in float64."""
    shared = q.shape[1] // k.shape[1]
    out = torch.zeros_like(q, dtype=torch.float64)
    for b, h, t in itertools.product(*(range(n) for n in q.shape[:3])):
        seen = [s for s in range(t + 1) if mask is None or mask[b, 0, t, s]]
        keys, values = (x[b, h // shared, seen].double() for x in (k, v))
        weights = torch.softmax(scale * keys @ q[b, h, t].double(), 0)
        out[b, h, t] = weights @ values
    return out


@pytest.mark.parametrize("attend", [attend_by_kernel, attend_by_products])
@pytest.mark.parametrize("shape", [(1, 1, 1, 5, 4), (2, 4, 2, 7, 8), (1, 6, 1, 9, 2)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_equals_the_sum_written_out(attend, shape, masked, dtype, tolerance) -> None:
    n, heads, keys, length, size = shape
    generator = torch.Generator().manual_seed(length)
    q = torch.randn(n, heads, length, size, generator=generator).to(dtype)
    k, v = (torch.randn(n, keys, length, size, generator=generator).to(dtype) for _ in range(2))
    mask = None
    if masked:
        documents = torch.arange(length) // 3
        mask = (documents[:, None] == documents) & torch.ones(length, length).tril().bool()
        mask = mask.expand(n, 1, length, length)
    expected = reference(q, k, v, mask, 0.7)
    actual = attend(q, k, v, mask, 0.7).double()
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)
