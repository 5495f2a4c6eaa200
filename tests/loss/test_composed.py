from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.loss.drawn import WIDTH, batch_of, draw_head, draw_logits, draw_targets
from windtunnel.config import compose
from windtunnel.loss.composed import Composed
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.loss.focal import Focal
from windtunnel.loss.projection import projection
from windtunnel.loss.satimp import SatImp
from windtunnel.loss.z_loss import ZLoss

HIDDEN, TARGETS = draw_logits(2, 4, WIDTH).float(), draw_targets(2, 4)


def test_the_loss_is_the_weighted_sum_and_every_part_is_named() -> None:
    head = draw_head()
    parts: dict[str, tuple[float, Any]] = {
        "z": (0.5, ZLoss()),
        "forgetting": (2.0, SatImp(beta_1=1.0, beta_2=1.0, forget_domains=[0], retain=0.1)),
    }
    auxiliaries = {name: {"weight": w, "loss": loss} for name, (w, loss) in parts.items()}
    main = Focal(gamma=2.0)
    output = Composed(main=main, auxiliaries=auxiliaries)(HIDDEN, head, batch_of(TARGETS))
    alone = {name: loss(HIDDEN, head, batch_of(TARGETS)) for name, (_, loss) in parts.items()}
    first = main(HIDDEN, head, batch_of(TARGETS))
    torch.testing.assert_close(
        output.loss, first.loss + 0.5 * alone["z"].loss + 2 * alone["forgetting"].loss
    )
    torch.testing.assert_close(output.nll_BT, first.nll_BT)
    assert set(output.terms) == {
        "main",
        "z",
        "forgetting",
        "forgetting/forget",
        "forgetting/retain",
    }
    torch.testing.assert_close(output.terms["z"], alone["z"].loss)
    torch.testing.assert_close(
        output.terms["forgetting/forget"], alone["forgetting"].terms["forget"]
    )


@pytest.mark.parametrize("auxiliaries", [{}, {"z": {"weight": 0.0, "loss": ZLoss()}}])
def test_without_weight_the_main_loss_is_left(auxiliaries: dict[str, Any]) -> None:
    head = draw_head()
    composed = Composed(main=CrossEntropy(), auxiliaries=auxiliaries)
    losses = [loss(HIDDEN, head, batch_of(TARGETS)).loss for loss in (composed, CrossEntropy())]
    torch.testing.assert_close(*losses, rtol=0, atol=0)
    slopes = [torch.autograd.grad(loss, head.weight)[0] for loss in losses]
    torch.testing.assert_close(*slopes, rtol=0, atol=0)


class Counting:
    """A head that knows how often it was asked."""

    def __init__(self) -> None:
        self.head, self.calls = draw_head(), 0

    def __call__(self, hidden_BTD: Tensor) -> Tensor:
        self.calls += 1
        return self.head(hidden_BTD)

    def project(self, hidden_BTD: Tensor) -> Any:
        return self.head.project(hidden_BTD)


def test_the_logits_are_computed_once_for_all_parts() -> None:
    head = Counting()
    auxiliaries = {
        "z": {"weight": 1.0, "loss": ZLoss()},
        "focal": {"weight": 1.0, "loss": Focal(gamma=1.0)},
    }
    Composed(main=CrossEntropy(), auxiliaries=auxiliaries)(HIDDEN, head, batch_of(TARGETS))
    assert head.calls == 1


class Twice:
    """A loss that asks for other hidden states as well, and for the factors of the head."""

    def __call__(self, hidden_BTD: Tensor, head: Any, batch: Any) -> Any:
        moved = head(hidden_BTD + 1)
        factors = projection(head, hidden_BTD, "loss=twice")
        assert factors.weight_VD.shape[1] == WIDTH
        assert not torch.equal(moved, head(hidden_BTD))
        return CrossEntropy()(hidden_BTD, head, batch)


def test_other_hidden_states_get_their_own_logits() -> None:
    output = Composed(main=Twice(), auxiliaries={})(HIDDEN, Counting(), batch_of(TARGETS))
    plain = CrossEntropy()(HIDDEN, draw_head(), batch_of(TARGETS))
    torch.testing.assert_close(output.loss, plain.loss)


@pytest.mark.parametrize(
    ("auxiliaries", "said"),
    [
        ({"loss": {"weight": 1.0, "loss": ZLoss()}}, r"loss\.auxiliaries\.loss: expected a name"),
        ({"z": {"wieght": 1.0, "loss": ZLoss()}}, r"z must hold a weight and a loss, got wieght"),
        ({"z": {}}, r"z must hold a weight and a loss, got nothing"),
        ({"z": {"weight": float("nan"), "loss": ZLoss()}}, r"z\.weight must be a finite number"),
        (
            {"z": {"weight": "much", "loss": ZLoss()}},
            r"z\.weight must be a finite number, got much",
        ),
    ],
)
def test_a_bad_setting_is_refused(auxiliaries: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Composed(main=CrossEntropy(), auxiliaries=auxiliaries)


def test_the_command_line_puts_parts_together() -> None:
    loss = compose(
        None,
        [
            "loss=composed",
            "loss@loss.main=focal",
            "loss.main.gamma=1.0",
            "+loss@loss.auxiliaries.z.loss=z_loss",
            "+loss.auxiliaries.z.weight=0.001",
        ],
    ).loss
    assert loss.main._target_.endswith("Focal")
    assert loss.main.gamma == 1.0
    assert loss.auxiliaries.z.loss._target_.endswith("ZLoss")
    assert loss.auxiliaries.z.weight == 0.001
