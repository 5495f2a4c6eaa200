from __future__ import annotations

import pytest
import torch

from windtunnel.optim.grid import Float8, Integer


def some_weights(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(16, 200, generator=draw, dtype=dtype) ** 3


def test_float8_is_torchs_e4m3_on_scaled_rows() -> None:
    w = some_weights()
    scale = w.abs().amax(-1, keepdim=True) / 448
    expected = (w / scale).to(torch.float8_e4m3fn).float() * scale
    assert torch.equal(Float8()(w, None), expected)


def test_float8_reaches_every_number_of_the_format() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    every = every[every.isfinite()]
    assert len(every.unique()) == 253
    assert torch.equal(Float8()(every[None], None)[0], every)


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_by_hand(bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    w = some_weights(torch.float64)
    step = w.abs().amax(-1, keepdim=True) / largest
    on_grid = Integer(bits=bits)(w, None)
    torch.testing.assert_close(on_grid / step, (on_grid / step).round())
    assert (on_grid - w).abs().max() <= step.max() / 2
    assert ((on_grid / step).round().abs().amax(-1) == largest).all()


@pytest.mark.parametrize("grid", [Float8(), Integer(bits=4)])
def test_what_lies_on_the_grid_stays_and_zero_is_zero(grid) -> None:
    w = some_weights()
    w[3] = 0
    once = grid(w, None)
    torch.testing.assert_close(grid(once, None), once, atol=0, rtol=1e-6)
    assert once[3].abs().max() == 0


@pytest.mark.parametrize("grid", [Float8(), Integer(bits=4)])
def test_stochastic_rounding_takes_neighbours_and_has_the_right_mean(grid) -> None:
    row = torch.cat([torch.tensor([1.0]), torch.linspace(-0.9, 0.9, 12)])
    w = row.repeat(4000, 1)
    drawn = grid(w, torch.Generator().manual_seed(0))
    near = grid(row[None], None)[0]
    torch.testing.assert_close(drawn.mean(0), row, atol=4e-3, rtol=0)
    assert all(len(drawn[:, i].unique()) <= 2 for i in range(len(row)))
    assert (drawn[:, 1:-1].std(0) > 0).sum() > 5
    assert all(torch.isclose(drawn[:, i], near[i], rtol=1e-5).any() for i in range(len(row)))


@pytest.mark.parametrize("bits", [1, 32])
def test_bits_that_make_no_grid_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=r"optim\.build\.grid\.bits must be from 2 to 16"):
        Integer(bits=bits)
