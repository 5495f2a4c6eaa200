"""The packages for a GPU, and torch's chunks: what is refused, and what is handed to them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.loss.backends.problems import answer, factors, in_float64, problem, relative
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends import packages
from windtunnel.loss.backends.chunked import chunked
from windtunnel.loss.backends.packages import apple, imported, liger
from windtunnel.loss.backends.scored import Terms

PLAIN = Terms(label_smoothing=0.0, z_loss=0.0)
CUDA = torch.device("cuda")


@pytest.mark.parametrize(("backend", "score"), [("liger", liger), ("apple", apple)])
def test_without_a_gpu_the_alternative_is_named(backend: str, score: Any) -> None:
    with pytest.raises(ValueError, match=rf"{backend} needs a GPU.*on cpu: take loss.backend=cut"):
        score(problem(2, 3, 2), PLAIN, "cce")


def test_without_the_package_the_alternative_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cut_cross_entropy", None)
    with pytest.raises(
        ValueError, match=r"pip install cut-cross-entropy, or take loss.backend=cut"
    ):
        imported("cut_cross_entropy", "cut-cross-entropy", "apple", CUDA)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages, with the signatures of theirs that are used, on a CPU."""

    def theirs(e, c, y, bias=None, ignore_index=-100, softcap=None, **other):  # type: ignore[no-untyped-def]
        logits_NV = F.linear(e, c, bias)
        if softcap is not None:
            logits_NV = softcap * torch.tanh(logits_NV / softcap)
        smoothing = other.get("label_smoothing", 0.0)
        loss = F.cross_entropy(
            logits_NV, y, label_smoothing=smoothing, reduction=other["reduction"]
        )
        if other.get("lse_square_scale"):
            square_N = logits_NV.logsumexp(1).square()[y != ignore_index]
            loss = loss + other["lse_square_scale"] * square_N.mean()
        return loss

    module = SimpleNamespace(linear_cross_entropy=theirs, liger_fused_linear_cross_entropy=theirs)
    monkeypatch.setattr(packages, "imported", lambda *_: module)


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_apple_is_asked_for_the_same_meaning(stand_ins: None, softcap: float | None) -> None:
    given = problem(20, 30, 8, softcap=softcap, weighed=True)
    found, (expected, slopes) = apple(given, PLAIN, "cce_exact"), answer(given, PLAIN)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    for slope, wanted in zip(torch.autograd.grad(found.loss, factors(given)), slopes, strict=True):
        assert relative(slope, wanted) < 1e-5


@pytest.mark.parametrize(("preset", "filter_eps"), [("cce", "auto"), ("cce_exact", None)])
def test_apple_filters_gradients_as_the_preset_says(
    monkeypatch: pytest.MonkeyPatch, preset: str, filter_eps: str | None
) -> None:
    asked: list[Any] = []

    def theirs(e: Any, c: Any, y: Any, **settings: Any) -> Any:
        asked.append(settings["filter_eps"])
        return F.cross_entropy(F.linear(e, c), y, reduction="none")

    module = SimpleNamespace(linear_cross_entropy=theirs)
    monkeypatch.setattr(packages, "imported", lambda *_: module)
    apple(problem(5, 6, 2), PLAIN, preset)
    assert asked == [filter_eps]


def test_liger_is_asked_for_the_same_meaning(stand_ins: None) -> None:
    given, terms = problem(20, 30, 8, softcap=3.0, has_bias=True), Terms(0.1, 0.01)
    found, (expected, slopes) = liger(given, terms, "cce_exact"), answer(given, terms)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    assert relative(found.nll_N, expected.nll_N) < 1e-5
    for slope, wanted in zip(torch.autograd.grad(found.loss, factors(given)), slopes, strict=True):
        assert relative(slope, wanted) < 1e-5


def test_liger_has_nothing_to_score(stand_ins: None) -> None:
    given = problem(5, 30, 8)
    nothing = given._replace(
        targets_N=torch.full((5,), IGNORE_INDEX), token_weights_N=torch.zeros(5)
    )
    assert liger(nothing, PLAIN, "cce").loss == 0


@pytest.mark.parametrize(
    ("changed", "terms", "preset", "said"),
    [
        ({"bias_V": torch.zeros(3)}, PLAIN, "cce", "neither bias nor"),
        ({}, Terms(0.1, 0.0), "cce", "nor label smoothing"),
        ({}, Terms(0.0, 0.1), "cce", "nor z-loss"),
        ({}, PLAIN, "cce_kahan_full_c", "knows the presets cce, cce_exact, got cce_kahan_full_c"),
    ],
)
def test_apple_refuses_what_it_cannot_do(
    stand_ins: None, changed: dict[str, Any], terms: Terms, preset: str, said: str
) -> None:
    with pytest.raises(ValueError, match=rf"{said}.*loss.backend=cut"):
        apple(problem(2, 3, 2)._replace(**changed), terms, preset)


def test_liger_refuses_weights(stand_ins: None) -> None:
    with pytest.raises(ValueError, match=r"weighs tokens alike: take loss.backend=cut"):
        liger(problem(9, 3, 2, weighed=True), PLAIN, "cce")


# ----------------------------------------------------------------------------------- torch's chunks


@pytest.mark.parametrize("has_bias", [False, True])
def test_chunks_equal_the_definition(has_bias: bool) -> None:
    given = in_float64(problem(70, 90, 8, has_bias=has_bias, weighed=True))
    found, (expected, slopes) = chunked(given, PLAIN, "cce"), answer(given, PLAIN)
    assert relative(found.nll_N, expected.nll_N) < 1e-12
    for slope, wanted in zip(torch.autograd.grad(found.loss, factors(given)), slopes, strict=True):
        assert relative(slope, wanted) < 1e-12


def test_chunks_of_bfloat16_are_right_too() -> None:
    given = problem(512, 3000, 64, dtype=torch.bfloat16)
    found, (expected, _) = chunked(given, PLAIN, "cce"), answer(given, PLAIN)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("softcap", "terms"), [(2.0, PLAIN), (None, Terms(0.1, 0.0)), (None, Terms(0.0, 0.1))]
)
def test_chunks_refuse_what_they_cannot_do(softcap: float | None, terms: Terms) -> None:
    with pytest.raises(ValueError, match=r"loss.backend=torch has neither.*loss.backend=cut"):
        chunked(problem(2, 3, 2, softcap=softcap), terms, "cce")
