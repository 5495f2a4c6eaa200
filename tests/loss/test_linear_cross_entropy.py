from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from windtunnel.interfaces import IGNORE_INDEX, Batch, LossOutput
from windtunnel.loss import linear_cross_entropy
from windtunnel.loss.cross_entropy import CrossEntropy
from windtunnel.loss.linear_cross_entropy import LinearCrossEntropy, choose, mean_weights
from windtunnel.model.head.linear import LinearHead

PLAIN: dict[str, Any] = {"preset": "cce_exact", "label_smoothing": 0.0, "z_loss": 0.0}


def made(backend: str, **values: Any) -> LinearCrossEntropy:
    return LinearCrossEntropy(**{"backend": backend, **PLAIN, **values})


def batch(targets_BT: Tensor) -> Batch:
    return Batch(targets_BT, targets_BT, None, targets_BT[:, 0])


def targets() -> Tensor:
    drawn = torch.randint(37, (3, 11), generator=torch.Generator().manual_seed(0))
    drawn[1, 4:] = IGNORE_INDEX
    return drawn


class Tied(nn.Module):
    """The smallest model whose table is also its head."""

    def __init__(self, softcap: float | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(37, 16, generator=torch.Generator().manual_seed(1)))
        self.head = LinearHead(
            16, 37, self.table, tied=True, zero=False, softcap=softcap, multiplier=0.7
        )

    def forward(self, loss: Any, targets_BT: Tensor) -> LossOutput:
        return loss(
            self.table[targets_BT.roll(1).clamp(min=0)].tanh(), self.head, batch(targets_BT)
        )


@pytest.mark.parametrize("backend", ["logits", "torch", "cut", "auto"])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_equals_the_reference_with_a_tied_table(backend: str, softcap: float | None) -> None:
    if backend == "torch" and softcap is not None:
        return
    model = Tied(softcap)
    outputs = [model(loss, targets()) for loss in (made(backend), CrossEntropy())]
    slopes = [torch.autograd.grad(output.loss, model.table)[0] for output in outputs]
    torch.testing.assert_close(outputs[0].loss, outputs[1].loss)
    torch.testing.assert_close(outputs[0].nll_BT, outputs[1].nll_BT.detach())
    torch.testing.assert_close(*slopes)
    assert outputs[0].terms == {}


@pytest.mark.parametrize("backend", ["logits", "cut"])
def test_terms_are_named_and_make_the_loss(backend: str) -> None:
    model, loss = Tied(), made(backend, label_smoothing=0.1, z_loss=0.01)
    output, plain = model(loss, targets()), model(CrossEntropy(), targets())
    torch.testing.assert_close(output.terms["cross_entropy"], plain.loss.detach())
    torch.testing.assert_close(output.nll_BT, plain.nll_BT.detach())
    logits_NV = model.head(model.table[targets().roll(1).clamp(min=0)].tanh()).flatten(0, 1)
    smooth = nn.functional.cross_entropy(logits_NV, targets().flatten(), label_smoothing=0.1)
    scored_N = targets().flatten() != IGNORE_INDEX
    z_loss = 0.01 * logits_NV.logsumexp(1).square()[scored_N].mean()
    torch.testing.assert_close(output.terms["z_loss"], z_loss.detach())
    torch.testing.assert_close(output.loss, smooth + z_loss)


@pytest.mark.parametrize("backend", ["logits", "torch", "cut"])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_autocast_gives_what_the_reference_gives_under_it(
    backend: str, dtype: torch.dtype | None
) -> None:
    model = Tied()
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        outputs = [model(loss, targets()) for loss in (made(backend), CrossEntropy())]
    slopes = [torch.autograd.grad(output.loss, model.table)[0] for output in outputs]
    assert slopes[0].dtype == torch.float32
    tolerance = 1e-5 if dtype is None else 1e-2
    torch.testing.assert_close(outputs[0].loss, outputs[1].loss, rtol=tolerance, atol=tolerance)
    scale = float(slopes[1].abs().max())
    torch.testing.assert_close(*slopes, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("backend", ["cut", "auto"])
def test_compiles_whole(backend: str) -> None:
    model, loss = Tied(softcap=3.0), made(backend, z_loss=0.01)
    whole = torch.compile(model, fullgraph=True, backend="aot_eager")
    plain, compiled = model(loss, targets()), whole(loss, targets())
    torch.testing.assert_close(plain.loss, compiled.loss)
    torch.testing.assert_close(plain.nll_BT, compiled.nll_BT)
    slopes = [torch.autograd.grad(output.loss, model.table)[0] for output in (plain, compiled)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("backend", ["logits", "torch", "cut"])
def test_nothing_to_score_gives_zero_and_no_gradient(backend: str) -> None:
    model = Tied()
    output = model(made(backend), torch.full((2, 5), IGNORE_INDEX))
    assert output.loss == 0
    assert torch.autograd.grad(output.loss, model.table)[0].eq(0).all()


def test_tokens_can_have_weights() -> None:
    model, weights_BT = Tied(), torch.rand(3, 11, generator=torch.Generator().manual_seed(2))
    factors = model.head.project(model.table[targets().clamp(min=0)])
    weights_BT = weights_BT * (targets() != IGNORE_INDEX)
    scored = made("cut").score(factors, targets(), weights_BT)
    torch.testing.assert_close(scored.loss, (weights_BT.flatten() * scored.nll_N).sum())


def test_weights_of_a_mean_sum_to_one_or_nothing() -> None:
    assert mean_weights(targets()).sum().item() == pytest.approx(1)
    assert mean_weights(torch.full((1, 3), IGNORE_INDEX)).tolist() == [[0, 0, 0]]


# ----------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("device", "n_logits", "name"),
    [
        ("cpu", 2**20 - 1, "logits"),
        ("cpu", 2**20, "cut"),
        ("mps", 2**24 - 1, "logits"),
        ("mps", 2**24, "torch"),
    ],
)
def test_the_backend_follows_device_and_size(device: str, n_logits: int, name: str) -> None:
    assert choose(device, n_logits)[0] == name


def test_what_was_chosen_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, loss = Tied(), made("auto")
    assert loss.chosen is None
    with caplog.at_level(logging.INFO, logger=linear_cross_entropy.__name__):
        model(loss, targets())
        model(loss, targets())
        assert loss.chosen is not None
        assert loss.chosen[0] == "logits"
        monkeypatch.setattr(linear_cross_entropy, "FEWEST_LOGITS_CUT", 1)
        model(loss, targets())
        assert loss.chosen[0] == "cut"
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "loss.backend is logits",
        "loss.backend is cut",
    ]


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backend": "cutt"}, r"loss.backend must be one of logits, torch, cut.*got cutt"),
        ({"preset": "exact"}, r"loss.preset must be one of cce.*got exact"),
        ({"label_smoothing": 1.0}, r"loss.label_smoothing must lie in 0 \.\. 1.*got 1.0"),
        ({"label_smoothing": -0.1}, r"loss.label_smoothing must lie in 0 \.\. 1.*got -0.1"),
        ({"z_loss": -1.0}, r"loss.z_loss must not be below 0, got -1.0"),
    ],
)
def test_a_bad_setting_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(**{"backend": "cut", **values})


def test_a_head_without_factors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss=linear_cross_entropy needs a head"):
        made("cut")(torch.zeros(1, 2, 3), nn.Identity(), batch(torch.zeros(1, 2).long()))
