"""Ours on a CPU, in both forms: the kernel where it can be built, and plain torch."""

from __future__ import annotations

import itertools
import logging
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.loss.backends.problems import answer, factors, in_float64, problem, relative
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends import cut as operation
from windtunnel.loss.backends import cut_blocks, cut_kernel
from windtunnel.loss.backends.cut import EXACT, cut
from windtunnel.loss.backends.scored import Problem, Scored, Terms

PLAIN = Terms(label_smoothing=0.0, z_loss=0.0)
# Relative to the largest entry; bfloat16 has 8 bits.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}
VALUE_TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6, torch.bfloat16: 5e-6}
SHAPES = [(1, 2, 1), (7, 33, 5), (70, 129, 64), (300, 257, 33), (33, 515, 16)]
FORMS = ["kernel", "blocks"]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes one form do all the work."""
    if request.param == "blocks":
        monkeypatch.setattr(operation, "can_score", lambda *_: False)
    elif not cut_kernel.is_there():
        pytest.skip("the kernel needs AVX-512 and a compiler")
    return request.param


def check(given: Problem, terms: Terms, *, values: float, gradients: float) -> None:
    expected, slopes = answer(given, terms)
    found = cut(given, terms, EXACT)
    assert relative(found.nll_N, expected.nll_N) < values
    assert relative(found.lse_N, expected.lse_N) < values
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=values, abs=1e-12)
    for slope, wanted, factor in zip(
        torch.autograd.grad(found.loss, factors(given)), slopes, factors(given), strict=True
    ):
        assert slope.dtype == factor.dtype
        assert relative(slope, wanted) < gradients


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_definition(form: str, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    if form == "blocks" and dtype == torch.bfloat16:  # its logits are rounded, as the reference's
        given = problem(*shape, dtype=dtype)
        check(given, PLAIN, values=4e-3, gradients=2e-2)
        return
    given = problem(*shape, dtype=dtype)
    check(given, PLAIN, values=VALUE_TOLERANCE[dtype], gradients=TOLERANCE[dtype])


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("terms", [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.2, 0.02)])
def test_every_term_with_every_other(
    form: str, softcap: float | None, has_bias: bool, terms: tuple[float, float]
) -> None:
    given = problem(150, 300, 24, softcap=softcap, has_bias=has_bias, weighed=True)
    check(given, Terms(*terms), values=1e-5, gradients=2e-5)


@pytest.mark.parametrize("tile", [7, 64, 300])
def test_tiles_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(operation, "can_score", lambda *_: False)
    monkeypatch.setattr(cut_blocks, "LARGEST_TILE", 1)
    monkeypatch.setattr(cut_blocks, "TILE", tile)
    monkeypatch.setattr(cut_blocks, "BLOCK_ENTRIES", 40 * tile)
    given = in_float64(problem(90, 300, 12, softcap=5.0, has_bias=True))
    check(given, Terms(0.1, 0.01), values=1e-12, gradients=1e-12)


@pytest.mark.parametrize("block", [32, 64, 100, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_the_kernel_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, block: int, dtype: torch.dtype
) -> None:
    if not cut_kernel.is_there():
        pytest.skip("the kernel needs AVX-512 and a compiler")
    monkeypatch.setattr(cut_kernel, "block_tokens", lambda *_: block)
    check(
        problem(230, 300, 40, dtype=dtype, has_bias=True),
        PLAIN,
        values=VALUE_TOLERANCE[dtype],
        gradients=TOLERANCE[dtype],
    )


def test_a_float32_weight_gets_float32_gradients_from_bfloat16_products(form: str) -> None:
    half = problem(200, 300, 64, dtype=torch.bfloat16)
    weight_VD = half.weight_VD.detach().float().requires_grad_()
    given = half._replace(weight_VD=weight_VD)
    check(given, PLAIN, values=4e-3, gradients=2e-2)
    assert torch.autograd.grad(cut(given, PLAIN, EXACT).loss, weight_VD)[0].dtype == torch.float32


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_large_logits_do_not_overflow(form: str, size: float) -> None:
    given = problem(64, 200, 16, size=size)
    check(given, PLAIN, values=1e-5, gradients=1e-4)


def test_a_sure_token_keeps_its_gradient(form: str) -> None:
    # 1 - p of the target is 1e-4: a softmax rounded to bfloat16 would lose it.
    weight_VD = torch.zeros(40, 8)
    weight_VD[3, 0] = 1.0
    hidden_ND = torch.zeros(2, 8)
    hidden_ND[:, 0] = 13.0
    given = Problem(
        hidden_ND.bfloat16().requires_grad_(),
        weight_VD.bfloat16().requires_grad_(),
        None,
        None,
        torch.tensor([3, 3]),
        torch.full((2,), 0.5),
    )
    check(given, PLAIN, values=1e-2, gradients=2e-2)


def test_derivatives_by_differences() -> None:
    given = in_float64(problem(9, 11, 4, softcap=4.0, has_bias=True, weighed=True))

    def loss(*inputs: Tensor) -> Tensor:
        return cut(Problem(*inputs, *given[3:]), Terms(0.1, 0.05), EXACT).loss

    assert torch.autograd.gradcheck(loss, tuple(factors(given)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_to_score_costs_and_moves_nothing(form: str, dtype: torch.dtype) -> None:
    given = problem(20, 50, 16, dtype=dtype, has_bias=True)
    nothing = given._replace(targets_N=torch.full((20,), IGNORE_INDEX))
    scored = cut(nothing, Terms(0.1, 0.1), EXACT)
    assert scored.loss == 0
    assert scored.nll_N.eq(0).all()
    for slope in torch.autograd.grad(scored.loss, factors(nothing)):
        assert slope.eq(0).all()


def test_ignored_tokens_are_as_if_left_out(form: str) -> None:
    given = problem(100, 70, 16, ignored=0.5)
    kept = given.targets_N != IGNORE_INDEX
    less = Problem(given.hidden_ND[kept], *given[1:4], *(x[kept] for x in given[4:]))
    found, expected = cut(given, PLAIN, EXACT), cut(less, PLAIN, EXACT)
    torch.testing.assert_close(found.nll_N[kept], expected.nll_N, rtol=0, atol=0)
    slopes = torch.autograd.grad(found.loss, given.weight_VD)
    torch.testing.assert_close(slopes, torch.autograd.grad(expected.loss, given.weight_VD))


def test_the_loss_scales_its_gradients(form: str) -> None:
    given = problem(40, 70, 16)
    once = torch.autograd.grad(cut(given, PLAIN, EXACT).loss, factors(given))
    thrice = torch.autograd.grad(3 * cut(given, PLAIN, EXACT).loss, factors(given))
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * a, b)


@pytest.mark.parametrize("target", [50, -1])
def test_a_target_outside_of_the_vocabulary_is_refused(form: str, target: int) -> None:
    given = problem(20, 50, 16, ignored=0)
    given.targets_N[7] = target
    with pytest.raises(ValueError, match=rf"0 \.\. 49.*got {target} at token 7"):
        cut(given, PLAIN, EXACT)


def test_without_gradients_none_are_made(form: str) -> None:
    given = problem(40, 70, 16)
    with torch.no_grad():
        quiet = cut(given, PLAIN, EXACT)
    assert not quiet.loss.requires_grad
    torch.testing.assert_close(quiet.loss, cut(given, PLAIN, EXACT).loss.detach())
    sizes = [x.numel() for x in operation.cut_operation(*given, 0.0, 0.0, EXACT, False)[3:]]
    assert sizes == [0, 0, 0]


def test_a_filtering_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be cce_exact on a CPU, got cce:.*cce_exact"):
        cut(problem(2, 3, 2), PLAIN, "cce")


@pytest.mark.slow
def test_torch_holds_the_operation_to_its_promises(form: str) -> None:
    given = problem(40, 70, 16, has_bias=True)
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(
        operation.cut_operation, (*given, 0.1, 0.01, EXACT, True), test_utils=checks
    )


# ----------------------------------------------------------------------------------------- memory


class Largest(TorchDispatchMode):
    """Notes the most entries that any tensor had."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                self.entries = max(self.entries, each.numel())
        return result


def test_no_tensor_of_plain_torch_has_all_logits() -> None:
    given = problem(3000, 20_000, 8)
    with Largest() as seen, torch.no_grad():
        cut_blocks.cut_in_blocks(given, PLAIN, needs_gradient=True)
    assert 2000 * 512 < seen.entries <= cut_blocks.BLOCK_ENTRIES < 3000 * 20_000 / 8


def resident_mib(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found.group(1)) / 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no Linux")
def test_the_kernel_stays_far_below_the_logits() -> None:
    if not cut_kernel.is_there():
        pytest.skip("the kernel needs AVX-512 and a compiler")
    given = problem(2048, 40_000, 32)
    cut(given, PLAIN, EXACT)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    cut(given, PLAIN, EXACT).loss.backward()
    logits_mib = 2048 * 40_000 * 4 / 2**20
    assert resident_mib("VmHWM") - before < logits_mib / 5


# -------------------------------------------------------------------------------- without a kernel


def test_without_a_compiler_plain_torch_does_it_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cut_kernel.torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    cut_kernel.is_there.cache_clear()
    try:
        with caplog.at_level(logging.INFO, logger=cut_kernel.__name__):
            check(problem(50, 60, 8), PLAIN, values=5e-6, gradients=1e-5)
            check(problem(51, 60, 8), PLAIN, values=5e-6, gradients=1e-5)
    finally:
        cut_kernel.is_there.cache_clear()
    assert len(caplog.records) == 1
    assert "no kernel (" in caplog.text


def test_a_compiler_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    with pytest.raises(cut_kernel.subprocess.SubprocessError):
        cut_kernel.built()
    assert list((tmp_path / "windtunnel_cut").iterdir()) == []


def test_without_avx512_there_is_no_kernel(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cut_kernel.torch.cpu, "_is_avx512_supported", lambda: False)
    cut_kernel.is_there.cache_clear()
    try:
        with caplog.at_level(logging.INFO, logger=cut_kernel.__name__):
            assert not cut_kernel.is_there()
    finally:
        cut_kernel.is_there.cache_clear()
    assert "AVX-512" in caplog.text


def test_without_bfloat16_products_the_kernel_takes_float32_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cut_kernel, "is_there", lambda: True)
    for has_products in (False, True):
        supported = bool(has_products)
        monkeypatch.setattr(
            cut_kernel.torch.cpu, "_is_avx512_bf16_supported", lambda has=supported: has
        )
        assert cut_kernel.can_score(problem(4, 5, 2), PLAIN)
        assert cut_kernel.can_score(problem(4, 5, 2, dtype=torch.bfloat16), PLAIN) == has_products


@pytest.mark.parametrize(
    ("tokens", "block"), [(1, 128), (1280, 128), (2000, 200), (3840, 384), (10**6, 384)]
)
def test_a_block_is_a_tenth_of_the_tokens_within_what_the_cache_holds(
    tokens: int, block: int
) -> None:
    assert cut_kernel.block_tokens(tokens) == block


@torch.no_grad()
def test_sums_over_blocks_of_bfloat16_are_rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(400, 30, 8, dtype=torch.bfloat16)
    monkeypatch.setattr(cut_blocks, "BLOCK_ENTRIES", 4 * 30)
    found = cut_blocks.cut_in_blocks(given, PLAIN, needs_gradient=True).d_weight_VD
    monkeypatch.setattr(cut_blocks, "BLOCK_ENTRIES", 10**6)
    whole = cut_blocks.cut_in_blocks(given, PLAIN, needs_gradient=True).d_weight_VD
    assert found.dtype == torch.bfloat16
    assert relative(found, whole.double()) < 2**-7


def test_what_the_kernel_does_not_know_goes_to_plain_torch() -> None:
    plain = problem(4, 5, 2)
    for given, terms in itertools.product([in_float64(plain)], [PLAIN]):
        assert not cut_kernel.can_score(given, terms)
    assert not cut_kernel.can_score(plain._replace(softcap=2.0), Terms(0.1, 0.0))


def test_scored_is_without_gradient_but_for_the_loss(form: str) -> None:
    scored: Scored = cut(problem(10, 20, 4), PLAIN, EXACT)
    assert [x.requires_grad for x in scored] == [True, False, False]
