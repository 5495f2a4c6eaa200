from __future__ import annotations

import pytest
import torch

from windtunnel.optim.newton_schulz import A, B, C, newton_schulz

# Five applications of f in double precision.
SCALARS = {
    1.0: 0.696436, 0.8: 1.119204, 0.5: 0.765439, 0.3: 1.079592,
    0.1: 0.712120, 0.05: 0.758120, 0.01: 0.698917, 1e-3: 0.470544,
}  # fmt: skip


def f(s: torch.Tensor, steps: int) -> torch.Tensor:
    for _ in range(steps):
        s = A * s + B * s**3 + C * s**5
    return s


def with_singular_values(values: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    U, V = (
        torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64)).Q
        for n in (rows, columns)
    )
    k = len(values)
    return U[:, :k] @ torch.diag(values) @ V[:, :k].T


@pytest.mark.parametrize(("s", "expected"), SCALARS.items())
def test_a_singular_value_goes_where_the_polynomial_takes_it(s: float, expected: float) -> None:
    other = max(1 - s**2, 0.0) ** 0.5  # so that the norm is 1 and nothing is scaled
    values = torch.tensor([s, other], dtype=torch.float64)
    found = newton_schulz(torch.diag(values)[None], 5)[0]
    assert found[0, 0].item() == pytest.approx(expected, abs=1e-6)
    assert found.diagonal().tolist() == pytest.approx(f(values, 5).tolist(), abs=1e-12)
    assert f(torch.ones(1), 1).item() == pytest.approx(0.7010)


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5)])
def test_only_singular_values_change(shape: tuple[int, int]) -> None:
    values = torch.tensor([2.0, 1.0, 0.4, 0.3, 0.2], dtype=torch.float64)
    M = with_singular_values(values, *shape)
    U, S, Vh = torch.linalg.svd(M, full_matrices=False)
    expected = U @ torch.diag(f(S / S.norm(), 5)) @ Vh
    torch.testing.assert_close(newton_schulz(M[None], 5)[0], expected, atol=1e-9, rtol=0)


def test_it_is_near_the_polar_factor_and_knows_no_size() -> None:
    values = torch.linspace(0.3, 1.0, 6, dtype=torch.float64)
    M = with_singular_values(values, 6, 8)
    U, _, Vh = torch.linalg.svd(M, full_matrices=False)
    found = newton_schulz(torch.stack([M, 1e3 * M]), 5)
    assert torch.linalg.svdvals(found[0]).min() > 0.68
    assert torch.linalg.svdvals(found[0]).max() < 1.14
    off = (found[0] - U @ Vh).norm() / (U @ Vh).norm()
    assert off < 0.32
    torch.testing.assert_close(found[0], found[1], atol=1e-10, rtol=0)


def test_all_singular_values_end_in_the_stated_range() -> None:
    s = torch.linspace(0.01, 1.0, 10_000, dtype=torch.float64)
    assert f(s, 5).min().item() == pytest.approx(0.68183, abs=1e-4)
    assert f(s, 5).max().item() == pytest.approx(1.13436, abs=1e-4)


def test_a_matrix_does_not_know_its_neighbours_and_zero_stays_zero() -> None:
    draw = torch.Generator().manual_seed(0)
    M_NRC = torch.randn(3, 4, 6, generator=draw, dtype=torch.float64)
    M_NRC[1] = 0
    together = newton_schulz(M_NRC, 5)
    for n in range(3):
        torch.testing.assert_close(together[n], newton_schulz(M_NRC[n : n + 1], 5)[0])
    assert together[1].abs().max() == 0
