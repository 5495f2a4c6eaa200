"""The annealing law on the two published curves, and on schedules that were not fitted."""

from __future__ import annotations

import numpy as np

from tests.scaling.laws.cases import Case, cosine, two_stage
from windtunnel.scaling.fit import fit
from windtunnel.scaling.laws.lr_annealing import LrAnnealing
from windtunnel.scaling.schedule import features

# Tissue et al. 2024, arXiv 2408.11029, the two curves in its public fitting script: peak 2e-4,
# cosine to 0 and constant, 20,000 steps of which 500 warm up; loss after every 1000.
COSINE = """
3.6696358 3.3254106 3.1908393 3.1158533 3.0604768 3.020384 2.9880967 2.9612265 2.9395165 2.9195616
2.9030452 2.8881907 2.8767889 2.8654318 2.8565135 2.8489892 2.843639 2.8398669 2.8380618 2.8376071
"""
CONSTANT = """
3.6714418 3.325626 3.1884103 3.111947 3.058354 3.0211415 2.9874816 2.96082 2.9406552 2.9241402
2.9054413 2.8942103 2.8807929 2.8702695 2.862175 2.8530996 2.8448784 2.8383856 2.8326995 2.8294308
"""
LOSS = np.array((COSINE + CONSTANT).split(), float)
PEAK, N_WARMUP, N_STEPS = 2e-4, 500, 20_000
STEPS = np.arange(1000, N_STEPS + 1, 1000)  # the script counts step 0


def annealing_case() -> Case:
    """The 100M model of arXiv 2503.12811, whose curves this law misses by 0.1 %."""
    fitted = (cosine(24000, 3e-4, 3e-5), np.full(24000, 3e-4), two_stage(24000, 3e-4, 9e-5))
    areas = [features(lr_T, decay=0.999, n_warmup=0) for lr_T in fitted]
    steps = np.linspace(2000, 24000, 12).astype(int) - 1
    last = features(cosine(72000, 3e-4, 3e-5), decay=0.999, n_warmup=0)
    return Case(
        LrAnnealing(),
        (2.9142, 0.5877, 0.7782, 0.4673),
        {
            "S1": np.concatenate([area.S1_T[steps] for area in areas]),
            "S2": np.concatenate([area.S2_T[steps] for area in areas]),
        },
        {"S1": last.S1_T[-1], "S2": last.S2_T[-1]},
    )


CASE = annealing_case()


def published(decay: float) -> dict[str, np.ndarray]:
    """The areas of the cosine curve, then of the constant one."""
    step_T = np.arange(N_STEPS + 1)
    share_T = np.clip((step_T - N_WARMUP) / (N_STEPS - N_WARMUP), 0, 1)
    warmup_T = np.minimum(step_T / N_WARMUP, 1)
    cosine_T = PEAK * warmup_T * (1 + np.cos(np.pi * share_T)) / 2
    both = [features(lr_T, decay=decay, n_warmup=N_WARMUP) for lr_T in (cosine_T, PEAK * warmup_T)]
    return {
        "S1": np.concatenate([areas.S1_T[STEPS] for areas in both]),
        "S2": np.concatenate([areas.S2_T[STEPS] for areas in both]),
    }


def test_areas_of_the_published_curves() -> None:
    x = published(0.999)
    np.testing.assert_allclose(x["S1"][[19, 39]], [2.0501, 4.0002], atol=5e-5)
    np.testing.assert_allclose(x["S2"][[19, 39]], [0.197474, 0.0], atol=5e-7)


def test_two_curves_give_the_published_coefficients() -> None:
    x = published(0.999)
    fitted = fit(LrAnnealing(), x, LOSS, loss_kind="huber_log", delta=1e-3)
    found = list(fitted.parameters.values())
    np.testing.assert_allclose(found, [2.6278, 0.4297, 0.5498, 0.4108], atol=1e-4)
    residual = LOSS - fitted.predict(x)
    r_squared = 1 - residual @ residual / np.sum((LOSS - LOSS.mean()) ** 2)
    np.testing.assert_allclose(r_squared, 0.99963, atol=5e-6)


def test_the_gain_depends_on_the_decay() -> None:
    fitted = fit(LrAnnealing(), published(0.99), LOSS, loss_kind="huber_log", delta=1e-3)
    np.testing.assert_allclose(fitted.parameters["C"], 3.916, atol=5e-3)


def test_the_annealed_curve_alone_mispredicts_the_other() -> None:
    x = published(0.999)
    cosine_only = {name: values[:20] for name, values in x.items()}
    fitted = fit(LrAnnealing(), cosine_only, LOSS[:20], loss_kind="huber_log", delta=1e-3)
    constant = fitted.predict({name: values[20:] for name, values in x.items()})
    miss_percent = 100 * np.mean(np.abs(constant / LOSS[20:] - 1))
    np.testing.assert_allclose(miss_percent, 0.32, atol=0.005)


def test_an_unseen_schedule_is_predicted_within_its_noise() -> None:
    fitted = CASE.fit(CASE.noisy(np.random.default_rng(8)))
    lr_T = two_stage(24000, 3e-4, 3e-5)
    areas = features(lr_T, decay=0.999, n_warmup=0)
    x = {"S1": areas.S1_T[1000::1000], "S2": areas.S2_T[1000::1000]}
    exact = LrAnnealing().predict(np.array([CASE.truth]), x)[0]
    np.testing.assert_allclose(fitted.predict(x), exact, rtol=0.01)
