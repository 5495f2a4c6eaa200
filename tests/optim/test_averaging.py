from __future__ import annotations

import io
from functools import partial

import pytest
import torch

from windtunnel.optim.averaging import Ema, LastCheckpoints, exponential, rising, uniform

CMA = [0.32768, 0.08192, 0.1024, 0.128, 0.16, 0.2]  # arXiv 2511.18903, alpha 0.2, oldest first
AVERAGES = [
    partial(Ema, decay=0.9, warmup=False),
    partial(Ema, decay=0.9, warmup=True),
    partial(LastCheckpoints, count=3, weighting=uniform),
    partial(LastCheckpoints, count=3, weighting=rising),
    partial(LastCheckpoints, count=3, weighting=partial(exponential, alpha=0.2)),
]


def drawn(n: int, dtype: torch.dtype = torch.float32) -> list[list[torch.Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [[torch.randn(s, generator=draw).to(dtype) for s in ((3, 2), (4,))] for _ in range(n)]


def test_ema_of_a_constant_has_its_closed_form() -> None:
    """mean_t = w + d^t (mean_0 - w)."""
    start, w = drawn(2)
    average = Ema(decay=0.9, warmup=False)
    average.take(start)
    for t in range(1, 20):
        average.take(w)
        expected = [b + 0.9**t * (a - b) for a, b in zip(start, w, strict=True)]
        torch.testing.assert_close(average.weights(), expected)


def test_ema_warms_up() -> None:
    """Decays 1/10, 2/11, 3/12, ... until they reach the one asked for."""
    average = Ema(decay=0.2, warmup=True)
    mean = 1.0
    average.take([torch.tensor([mean])])
    for t, decay in enumerate((1 / 10, 2 / 11, 0.2, 0.2)):
        average.take([torch.tensor([float(t)])])
        mean = decay * mean + (1 - decay) * t
        assert average.weights()[0].item() == pytest.approx(mean)


def test_shares_of_the_last_checkpoints() -> None:
    assert exponential(6, alpha=0.2) == pytest.approx(CMA)
    assert uniform(4) == [0.25] * 4
    assert rising(4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    for n in range(1, 9):
        for shares in (uniform(n), rising(n), exponential(n, alpha=0.2)):
            assert len(shares) == n
            assert sum(shares) == pytest.approx(1)


def test_exponential_shares_are_a_moving_average_from_the_oldest() -> None:
    taken = drawn(6)
    average = LastCheckpoints(count=6, weighting=partial(exponential, alpha=0.2))
    ema = Ema(decay=0.8, warmup=False)
    for weights in taken:
        average.take(weights)
        ema.take(weights)
    torch.testing.assert_close(average.weights(), ema.weights())


def test_only_the_last_are_kept() -> None:
    taken = drawn(5)
    average = LastCheckpoints(count=2, weighting=rising)
    for weights in taken:
        average.take(weights)
    expected = [a / 3 + 2 * b / 3 for a, b in zip(*taken[-2:], strict=True)]
    torch.testing.assert_close(average.weights(), expected)


@pytest.mark.parametrize("make", AVERAGES)
def test_the_average_of_the_same_is_the_same(make) -> None:
    average, (w,) = make(), drawn(1)
    assert average.weights() == []
    for _ in range(7):
        average.take(w)
    torch.testing.assert_close(average.weights(), w)


@pytest.mark.parametrize("make", AVERAGES)
def test_a_linear_model_of_the_average_predicts_the_average(make) -> None:
    average, x = make(), torch.randn(2, generator=torch.Generator().manual_seed(1))
    predicted = make()
    for w, b in drawn(6):
        average.take([w, b])
        predicted.take([w @ x])
    torch.testing.assert_close(average.weights()[0] @ x, predicted.weights()[0])


@pytest.mark.parametrize("make", AVERAGES)
def test_it_is_kept_in_float32_and_does_not_follow_the_weights(make) -> None:
    average, (w,) = make(), drawn(1, torch.bfloat16)
    average.take(w)
    before = [mean.clone() for mean in average.weights()]
    assert {mean.dtype for mean in before} == {torch.float32}
    w[0].add_(1)
    torch.testing.assert_close(average.weights(), before)


def test_a_slow_average_of_bfloat16_weights_still_moves() -> None:
    average = Ema(decay=0.999, warmup=False)
    average.take([torch.zeros(1, dtype=torch.bfloat16)])
    for _ in range(1000):
        average.take([torch.ones(1, dtype=torch.bfloat16)])
    assert average.weights()[0].item() == pytest.approx(1 - 0.999**1000, rel=1e-4)


@pytest.mark.parametrize("make", AVERAGES)
def test_it_goes_on_from_its_state(make) -> None:
    whole, first, second = make(), make(), make()
    taken = drawn(8)
    for weights in taken:
        whole.take(weights)
    for weights in taken[:4]:
        first.take(weights)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.restore(torch.load(file, weights_only=True))
    for weights in taken[4:]:
        second.take(weights)
    assert all(map(torch.equal, whole.weights(), second.weights()))


def test_bad_settings_are_refused() -> None:
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"averaging\.average\.decay must lie in \[0, 1\)"):
            Ema(decay=decay, warmup=False)
    with pytest.raises(ValueError, match=r"averaging\.average\.count must be 1 or more"):
        LastCheckpoints(count=0, weighting=uniform)
    for alpha in (0.0, 1.1):
        with pytest.raises(ValueError, match=r"weighting\.alpha must lie in \(0, 1\]"):
            exponential(3, alpha=alpha)
