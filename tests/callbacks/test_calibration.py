"""The whole callback is tried on a job in `tests/loss/test_jobs.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from tests.callbacks.tiny import make_facts
from windtunnel.callbacks.calibration import CELLS_PER_BIN, Calibration, count, summary
from windtunnel.interfaces import IGNORE_INDEX


def draw(n: int, sharpness: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(n, 7, generator=generator)
    return logits, torch.randint(7, (n,), generator=generator)


def measured(logits: Tensor, targets: Tensor, bins: int = 15, chunk: int = 10**9) -> dict:
    cells = torch.zeros(3, bins * CELLS_PER_BIN, dtype=torch.float64)
    for own, y in zip(logits.split(chunk), targets.split(chunk), strict=True):
        count(own, y, cells)
    return summary(cells, bins)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_equals_torchmetrics(sharpness: float, bins: int) -> None:
    logits, targets = draw(2000, sharpness)
    targets[::7] = IGNORE_INDEX
    found = measured(logits, targets, bins)
    scored = targets != IGNORE_INDEX
    expected = multiclass_calibration_error(
        logits[scored].softmax(-1), targets[scored], num_classes=7, n_bins=bins, norm="l1"
    )
    assert found["ece"] == pytest.approx(expected.item(), abs=1e-6)
    assert found["n_tokens"] == scored.sum()
    assert found["accuracy"] == pytest.approx(
        (logits.argmax(-1) == targets)[scored].double().mean().item()
    )
    assert found["confidence"] == pytest.approx(
        logits.softmax(-1).amax(-1)[scored].double().mean().item(), abs=1e-6
    )


@pytest.mark.parametrize("bins", [4, 15])
def test_bins_of_equal_mass_equal_those_of_sorted_tokens(bins: int) -> None:
    """To what the tokens of one cell on an edge can move; unsure guesses are always right."""
    logits, targets = draw(30_000, 1.5)
    confidence, guess = logits.softmax(-1).max(-1)
    targets = torch.where(confidence < confidence.median(), guess, targets)
    order = confidence.argsort()
    expected = 0.0
    for own in order.tensor_split(bins):
        right = (guess == targets)[own].double().mean()
        expected += len(own) / 30_000 * (right - confidence[own].double().mean()).abs().item()
    assert measured(logits, targets, bins)["ece_equal_mass"] == pytest.approx(expected, abs=2e-3)


def test_probabilities_that_hold_are_calibrated_and_half_sure_wrong_ones_are_not() -> None:
    logits, _ = draw(200_000, 1.0)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    held = measured(logits, drawn)
    assert held["ece"] < 0.005
    assert held["ece_equal_mass"] < 0.01
    wrong = torch.tensor([[0.0, 0.0, -1e9]]).repeat(10, 1)
    found = measured(wrong, torch.full((10,), 2))
    assert found["ece"] == found["ece_equal_mass"] == pytest.approx(0.5)


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_pieces_add_up(chunk: int) -> None:
    logits, targets = draw(500, 1.0)
    whole, pieces = measured(logits, targets), measured(logits, targets, chunk=chunk)
    assert pieces == pytest.approx(whole)


def test_nothing_scored_leaves_no_figure() -> None:
    logits, _ = draw(5, 1.0)
    assert measured(logits, torch.full((5,), IGNORE_INDEX)) == {"n_tokens": 0}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bins": 0, "chunk": 8}, r"callbacks\.calibration\.bins must be at least 1, got 0"),
        ({"bins": 15, "chunk": 0}, r"callbacks\.calibration\.chunk must be at least 1, got 0"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path: Path, values: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Calibration(make_facts(tmp_path), **values)
