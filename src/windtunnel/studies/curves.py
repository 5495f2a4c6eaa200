"""Whole held-out curves: what a law of the learning rates says of them, and how far off it was.

Source: Tissue et al. 2024, arXiv 2408.11029, sections 3 and 4.

Axes: T steps, M points of a curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.interfaces import Curve, Law, Schedule
from windtunnel.scaling.schedule import Areas, features
from windtunnel.studies.method import Method


def rates(schedule: Schedule, lr: float, total_tokens: int, tokens_per_step: int) -> ndarray:
    """The learning rate of every step [T], each as in the middle of the step."""
    middle_T = (np.arange(total_tokens // tokens_per_step) + 0.5) * tokens_per_step
    return lr * np.array([schedule(tokens, total_tokens) for tokens in middle_T])


def areas_at(
    lr_T: ndarray, tokens: Sequence[int], tokens_per_step: int, *, decay: float, warmup_tokens: int
) -> Areas:
    """S1 and S2 of a schedule after the given training tokens [M] each."""
    areas = features(lr_T, decay=decay, n_warmup=-(-warmup_tokens // tokens_per_step))
    step_M = np.array(tokens) // tokens_per_step - 1
    return Areas(areas.S1_T[step_M], areas.S2_T[step_M])


def since(curve: Curve, first_tokens: int) -> Curve:
    """The points of a curve from `first_tokens` on."""
    pairs = zip(curve.tokens, curve.values, strict=True)
    kept = [(tokens, value) for tokens, value in pairs if tokens >= first_tokens]
    return Curve([tokens for tokens, _ in kept], [value for _, value in kept])


def forecast(
    law: Law, method: Method, seen: Sequence[tuple[Areas, Sequence[float]]], unseen: Areas
) -> dict[str, Any]:
    """Fits the law to all points of the seen curves, and predicts the unseen one.

    Args:
        law: a law of S1 and S2.
        method: how to fit and draw intervals.
        seen: areas and losses in nats of every fitted curve, [M] each.
        unseen: areas of the curve to predict [M].

    Returns:
        Coefficients, error of the fit, and the curve with its interval. The interval takes the
        points of one curve as if each had a noise of its own.
    """
    x = {
        "S1": np.concatenate([areas.S1_T for areas, _ in seen]),
        "S2": np.concatenate([areas.S2_T for areas, _ in seen]),
    }
    loss_M = np.concatenate([losses for _, losses in seen])
    fitted = method.fit(law, x, loss_M)
    band = method.band(fitted, {"S1": unseen.S1_T, "S2": unseen.S2_T})
    miss_M = np.log(fitted.predict(x) / loss_M)
    return {
        "parameters": dict(fitted.parameters),
        "rms_log": float(np.sqrt(np.mean(miss_M**2))),
        "loss": band.loss_M.tolist(),
        "low": band.low_M.tolist(),
        "high": band.high_M.tolist(),
        "warnings": list(fitted.warnings),
    }


def compare(
    predicted: Mapping[str, Any], actual_M: ndarray, rivals: Mapping[str, ndarray]
) -> dict[str, Any]:
    """Sets a predicted curve beside what came, and beside other curves copied.

    Args:
        predicted: `loss`, `low` and `high` in nats [M] each.
        actual_M: held-out losses in nats [M].
        rivals: losses in nats [M] of the fitted schedules, by name.
    """
    low_M, high_M = np.array(predicted["low"]), np.array(predicted["high"])
    error_M = np.array(predicted["loss"]) / actual_M - 1
    final = {name: predicted[name][-1] for name in ("loss", "low", "high")}
    return {
        "mape": float(np.abs(error_M).mean()),
        "max_error": float(np.abs(error_M).max()),
        "inside": float(((low_M <= actual_M) & (actual_M <= high_M)).mean()),
        "final": final | {"actual": float(actual_M[-1]), "error": float(error_M[-1])},
        "baselines": {name: _copied(loss_M / actual_M - 1) for name, loss_M in rivals.items()},
    }


def _copied(error_M: ndarray) -> dict[str, float]:
    return {"mape": float(np.abs(error_M).mean()), "final_error": float(error_M[-1])}
