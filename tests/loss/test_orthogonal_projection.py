from __future__ import annotations

import pytest
import torch

from tests.loss.drawn import batch_of, draw_logits, draw_targets, identity
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.orthogonal_projection import (
    OrthogonalProjection,
    orthogonal_projection,
    spread,
)

EYE = torch.eye(4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("hidden", "targets", "loss"),
    [
        (EYE[[0, 0, 1, 1, 2]], [7, 7, 3, 3, 5], 0.0),  # a direction for each, all orthogonal
        (torch.stack([EYE[0], EYE[0], -EYE[0]]), [1, 1, 2], 0.5),  # opposite is not orthogonal
        (EYE[[0, 0, 0, 0]], [1, 1, 2, 3], 0.5),  # all the same
        (EYE[[0, 1]], [1, 1], 1.0),  # one class, apart
        (EYE[[0, 0]], [1, 2], 0.5),  # no pair of one class: that part is left out
    ],
)
def test_known_directions(hidden: torch.Tensor, targets: list[int], loss: float) -> None:
    assert orthogonal_projection(hidden, torch.tensor(targets), 0.5).item() == pytest.approx(loss)


def test_equals_the_pairs_written_out_and_forgets_sizes() -> None:
    hidden, targets = draw_logits(9, 4), draw_targets(9, n_tokens=3)
    targets[4] = IGNORE_INDEX
    same, other = [], []
    for i in range(9):
        for j in range(9):
            if i != j and IGNORE_INDEX not in (targets[i], targets[j]):
                cosine = torch.cosine_similarity(hidden[i], hidden[j], dim=0).item()
                (same if targets[i] == targets[j] else other).append(cosine)
    expected = 1 - sum(same) / len(same) + 2 * sum(map(abs, other)) / len(other)
    found = orthogonal_projection(hidden, targets, 2.0)
    assert found.item() == pytest.approx(expected)
    resized = hidden * torch.arange(1, 10).unsqueeze(1)
    torch.testing.assert_close(orthogonal_projection(resized, targets, 2.0), found)


def test_its_gradient_is_that_of_the_formula() -> None:
    hidden, targets = draw_logits(6, 3).requires_grad_(), draw_targets(6, n_tokens=3)
    assert torch.autograd.gradcheck(lambda h: orthogonal_projection(h, targets, 0.5), hidden)


def test_positions_are_sampled_at_even_distances() -> None:
    device = torch.device("cpu")
    assert spread(10, 4, device).tolist() == [0, 2, 5, 7]
    assert spread(3, 8, device).tolist() == [0, 1, 2]
    hidden, targets = draw_logits(2, 5, 4).float(), draw_targets(2, 5, n_tokens=3)
    loss = OrthogonalProjection(gamma=0.5, tokens=4)(hidden, identity, batch_of(targets)).loss
    at = [0, 2, 5, 7]
    expected = orthogonal_projection(hidden.flatten(0, 1)[at], targets.flatten()[at], 0.5)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gamma": -0.1, "tokens": 4}, r"loss\.gamma must not be below 0, got -0.1"),
        ({"gamma": 0.5, "tokens": 1}, r"loss\.tokens must be at least 2.*got 1"),
    ],
)
def test_a_bad_setting_is_refused(values, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OrthogonalProjection(**values)
