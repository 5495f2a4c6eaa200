"""What holds for every loss: plain score, ignored tokens, none to score, precision, compiling."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.loss.drawn import (
    N_TOKENS,
    WIDTH,
    TinyTeacher,
    batch_of,
    draw_head,
    draw_logits,
    draw_targets,
    ignoring,
)
from windtunnel.interfaces import IGNORE_INDEX, Batch, Loss
from windtunnel.loss.adversarial import AdversarialMargins
from windtunnel.loss.comp_sum import CompSum
from windtunnel.loss.composed import Composed
from windtunnel.loss.confidence_limiting import ConfidenceLimiting
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.loss.dice import SetDice, TokenDice
from windtunnel.loss.distillation import KullbackLeibler, PlackettLuce
from windtunnel.loss.focal import Focal
from windtunnel.loss.gem import LinearGem, LogSigmoidGem
from windtunnel.loss.label_smoothing import LabelSmoothing
from windtunnel.loss.mann_whitney import MannWhitney
from windtunnel.loss.orthogonal_projection import OrthogonalProjection
from windtunnel.loss.satimp import SatImp
from windtunnel.loss.selective import Selective
from windtunnel.loss.z_loss import ZLoss

LOSSES: dict[str, Loss] = {
    "z_loss": ZLoss(),
    "label_smoothing": LabelSmoothing(smoothing=0.1),
    "focal": Focal(gamma=0.5),
    "comp_sum": CompSum(tau=0.5),
    "adversarial_margins": AdversarialMargins(radius=0.1, iterations=4),
    "confidence_limiting": ConfidenceLimiting(attempts=4),
    "gem": LinearGem(beta=0.7),
    "gem_log_sigmoid": LogSigmoidGem(beta=0.7, scale=0.01),
    "token_dice": TokenDice(alpha=0.5, gamma=1.0),
    "set_dice": SetDice(alpha=0.5, gamma=1.0),
    "orthogonal_projection": OrthogonalProjection(gamma=0.5, tokens=100),
    "kl_distillation": KullbackLeibler(teacher=TinyTeacher(), temperature=2.0),
    "plackett_luce": PlackettLuce(teacher=TinyTeacher(), temperature=1.0, top_k=None),
    "plackett_luce_top": PlackettLuce(teacher=TinyTeacher(), temperature=1.0, top_k=3),
    "selective": Selective(teacher=TinyTeacher(), share=0.6),
    "satimp": SatImp(beta_1=5.0, beta_2=0.1, forget_domains=[0], retain=0.1),
    "mann_whitney": MannWhitney(temperature=1.0, pool=100, hard=2),
    "composed": Composed(main=CrossEntropy(), auxiliaries={"z": {"weight": 1e-4, "loss": ZLoss()}}),
}
EVERY = pytest.mark.parametrize("name", LOSSES)


def hidden_states(*shape: int) -> Tensor:
    return draw_logits(*shape, WIDTH, seed=5).float().requires_grad_()


@EVERY
def test_the_score_is_the_plain_one(name: str) -> None:
    head, hidden, targets = draw_head(), hidden_states(2, 5), ignoring(draw_targets(2, 5))
    output = LOSSES[name](hidden, head, batch_of(targets))
    plain = CrossEntropy()(hidden, head, batch_of(targets))
    torch.testing.assert_close(output.nll_BT, plain.nll_BT, rtol=0, atol=0)
    assert output.loss.shape == ()


@EVERY
def test_ignored_tokens_count_as_if_they_were_not_there(name: str) -> None:
    head, hidden, targets = draw_head(), hidden_states(2, 5), ignoring(draw_targets(2, 5))
    tokens, scored = draw_targets(2, 5, seed=7), targets != IGNORE_INDEX
    kept = batch_of(targets[scored].unsqueeze(0), tokens[scored].unsqueeze(0))
    found = [
        (output.loss, *torch.autograd.grad(output.loss, (hidden, head.weight), allow_unused=True))
        for output in (
            LOSSES[name](hidden, head, batch_of(targets, tokens)),
            LOSSES[name](hidden[scored].unsqueeze(0), head, kept),
        )
    ]
    assert found[0][0] != 0
    for all_rows, only_kept in zip(*found, strict=True):
        if all_rows is None:
            assert only_kept is None
            continue
        torch.testing.assert_close(all_rows, only_kept)


@EVERY
def test_nothing_to_score_costs_nothing_and_moves_nothing(name: str) -> None:
    head, hidden = draw_head(), hidden_states(2, 3)
    nothing = batch_of(torch.full((2, 3), IGNORE_INDEX))
    output = LOSSES[name](hidden, head, nothing)
    assert output.loss == 0
    slopes = torch.autograd.grad(output.loss, (hidden, head.weight), allow_unused=True)
    assert any(slope is not None for slope in slopes)
    assert all(slope is None or slope.eq(0).all() for slope in slopes)


@EVERY
def test_a_certain_model_has_finite_gradients(name: str) -> None:
    """Probabilities that round to 0 and to 1, on right and on wrong tokens."""
    head, targets = draw_head(), draw_targets(1, 6)
    rows = head.weight.detach()[torch.cat([targets[0, :3], targets[0, 3:] - 1])]
    hidden = (300 * rows.unsqueeze(0)).requires_grad_()
    output = LOSSES[name](hidden, head, batch_of(targets))
    slopes = torch.autograd.grad(output.loss, (hidden, head.weight), allow_unused=True)
    assert output.loss.isfinite()
    assert all(slope is None or slope.isfinite().all() for slope in slopes)


@EVERY
def test_half_precision_reduces_in_float32(name: str) -> None:
    head, hidden, targets = draw_head().bfloat16(), hidden_states(2, 5), draw_targets(2, 5)
    output = LOSSES[name](hidden.bfloat16(), head, batch_of(targets))
    assert output.loss.dtype == output.nll_BT.dtype == torch.float32


@EVERY
def test_compiles_whole_to_the_same(name: str) -> None:
    head, targets = draw_head(), ignoring(draw_targets(2, 5))
    torch.compiler.reset()  # it gives up on a function that has changed too often

    def call(hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        output = LOSSES[name](hidden, head, batch)
        return output.loss, output.nll_BT

    whole = torch.compile(call, fullgraph=True, backend="aot_eager")
    found = []
    for function in (call, whole):
        hidden = hidden_states(2, 5)
        loss, nll = function(hidden, batch_of(targets))
        loss.backward()
        found.append((loss, nll, hidden.grad))
        head.zero_grad()
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(eager, compiled)


def test_the_grid_is_not_empty() -> None:
    assert len(LOSSES) == 18
    assert N_TOKENS > 10
