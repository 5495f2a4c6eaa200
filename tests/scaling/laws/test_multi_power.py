"""The multi-power law: its full sum, published curves, and freedom from the unit of the rates."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, cosine, two_stage
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.multi_power import MultiPower

# Short schedules of a high rate, whose annealing takes off half a nat: at 0.13 nats, as in the
# paper, hundreds of points with 0.5 % of noise leave C and beta open.
N_STEPS, FALL, PEAK = 300, 100, 0.05
SCHEDULES = (
    cosine(N_STEPS, PEAK, PEAK / 10),
    np.full(N_STEPS, PEAK),
    *(two_stage(N_STEPS, PEAK, share * PEAK) for share in (0.3, 0.1, 0.03, 0.01)),
    cosine(3 * N_STEPS, PEAK, PEAK / 10),
)
TRUTH = (2.651, 0.601, 0.453, 15.0, 1.0, 0.598, 0.6)  # L_0, A, alpha, B, C, beta, gamma


def points() -> dict[str, np.ndarray]:
    """25 steps of two curves, and up to 30 after the fall of four more."""
    even = np.linspace(10, N_STEPS, 25).round()
    after = np.unique(FALL + np.geomspace(2, N_STEPS - FALL, 30).round())
    steps = [even, even, *[after] * 4]
    curve = np.repeat(np.arange(6.0), [len(each) for each in steps])
    return {"curve": curve, "step": np.concatenate(steps)}


CASE = Case(MultiPower(SCHEDULES), TRUTH, points(), {"curve": 6.0, "step": 3.0 * N_STEPS})

# The 100M model of Luo et al. 2025, arXiv 2503.12811: coefficients as published with its code, and
# losses of its curves (peak 3e-4, end 3e-5, 2160 steps of warm-up).
LUO = (2.651, 0.601, 0.453, 437.946, 2.132, 0.598, 0.655)
MEASURED = {
    "constant": {2176: 3.7666, 13312: 3.1180, 23936: 3.0354},
    "cosine": {2160: 3.7755, 13296: 3.0847, 23920: 2.9791},
    "stages": {2176: 3.7666, 9024: 3.1227, 15936: 3.0588},
    "decay": {13312: 3.1180, 21728: 2.9876, 23904: 2.9514},
}


def luo(name: str) -> np.ndarray:
    peak, end, n_warmup, n_steps = 3e-4, 3e-5, 2160, 24000
    lr_T = np.concatenate([np.arange(1, n_warmup + 1) / n_warmup, np.ones(n_steps - n_warmup)])
    lr_T = lr_T * peak
    if name == "cosine":
        lr_T[n_warmup:] = cosine(n_steps - n_warmup, peak, end)
    if name == "stages":
        lr_T[8000:] = 9e-5
    if name == "decay":
        lr_T[20000:] = peak * (end / peak) ** (np.arange(1, 4001) / 4000)
    return lr_T


def full_sum(theta: tuple[float, ...], lr_T: np.ndarray, step: int) -> float:
    """The formula, term by term."""
    L_0, A, alpha, B, C, beta, gamma = theta
    gain = 0.0
    for k in range(1, step):
        reach = C * lr_T[k] ** -gamma * lr_T[k:step].sum()
        gain += (lr_T[k - 1] - lr_T[k]) * (1 - (1 + reach) ** -beta)
    return L_0 + A * lr_T[:step].sum() ** -alpha - B * gain


@pytest.mark.parametrize("curve", [0, 2, 5, 6])
@pytest.mark.parametrize("step", [1, 2, 12, 101, 150, 300])
def test_the_blocks_miss_the_full_sum_by_little(curve: int, step: int) -> None:
    found = CASE.law.predict(np.array([TRUTH]), at(curve=curve, step=step))[0, 0]
    exact = full_sum(TRUTH, SCHEDULES[curve], step)
    whole = TRUTH[3] * PEAK  # what annealing takes off in the end
    np.testing.assert_allclose(found, exact, rtol=0, atol=(5e-4 if step > 12 else 1e-12) * whole)


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_published_coefficients_give_the_published_curves(name: str) -> None:
    """Within 0.583 %, the worst error that is published with them."""
    measured = MEASURED[name]
    law = MultiPower((luo(name),))
    x = {"curve": np.zeros(3), "step": np.array(list(measured), float)}
    np.testing.assert_allclose(
        law.predict(np.array([LUO]), x)[0], list(measured.values()), rtol=0.00583
    )


def test_a_constant_rate_leaves_a_power_law() -> None:
    x = {"curve": np.ones(3), "step": np.array([10.0, 100.0, 300.0])}
    expected = 2.651 + 0.601 * (PEAK * x["step"]) ** -0.453
    np.testing.assert_allclose(CASE.law.predict(np.array([TRUTH]), x)[0], expected, rtol=1e-13)


def test_a_rate_of_zero_is_a_fall_like_any_other() -> None:
    """The gain of a fall to zero comes at once where the rate rises again, and never before."""
    lr_T = np.array([1.0] * 5 + [0.0] * 3 + [1.0] * 5)
    law, theta = MultiPower((lr_T,)), np.array([(2.0, 1.0, 0.5, 0.3, 1.0, 0.6, 0.6)])
    at_zero = law.predict(theta, at(curve=0, step=8))[0, 0]
    np.testing.assert_allclose(at_zero, 2.0 + 5**-0.5, rtol=1e-13)
    again = law.predict(theta, at(curve=0, step=9))[0, 0]
    rise = 0.3 * (1 - 2**-0.6)
    np.testing.assert_allclose(again, 2.0 + 6**-0.5 - 0.3 + rise, rtol=1e-13)


def test_the_unit_of_the_rates_changes_no_loss() -> None:
    L_0, A, alpha, B, C, beta, gamma = TRUTH
    unit = 1e-3
    other = MultiPower(tuple(lr_T * unit for lr_T in SCHEDULES))
    theta = (L_0, A * unit**alpha, alpha, B / unit, C * unit ** (gamma - 1), beta, gamma)
    np.testing.assert_allclose(
        other.predict(np.array([theta]), CASE.x)[0], CASE.exact(), rtol=1e-12
    )


def test_the_unit_of_the_rates_changes_no_fit() -> None:
    loss = CASE.noisy(np.random.default_rng(1))
    plain = CASE.fit(loss)
    law = MultiPower(tuple(lr_T * 1e-3 for lr_T in SCHEDULES))
    other = fit(law, CASE.x, loss, loss_kind="huber_log", delta=0.02)
    np.testing.assert_allclose(other.value, plain.value, rtol=1e-6)


@pytest.mark.parametrize("schedule", [np.ones((2, 3)), np.array([1.0, -0.1]), np.array([np.nan])])
def test_unusable_schedules_are_refused(schedule: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"schedules: expected rows of finite .*; schedule 1 is"):
        MultiPower((np.ones(3), schedule))


@pytest.mark.parametrize(
    ("curve", "step", "said"),
    [
        (7, 1, "column curve: expected a number from 0 to below 7.*; got 7"),
        (0.5, 1, "column curve: .*; got 0.5"),
        (0, 0, "column step: expected a whole number from 1 to 300, .* curve 0.*; got 0"),
        (0, 301, "column step: .*; got 301"),
        (0, 2.5, "column step: .*; got 2.5"),
    ],
)
def test_points_off_the_schedules_are_refused(curve: float, step: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CASE.law.predict(np.array([TRUTH]), at(curve=curve, step=step))


def test_a_step_before_any_rate_is_refused() -> None:
    law = MultiPower((np.array([0.0, 0.0, 1.0]),))
    with pytest.raises(ValueError, match=r"column step: .* with a rate above 0 by then; got 2"):
        law.predict(np.array([TRUTH]), at(curve=0, step=2))
