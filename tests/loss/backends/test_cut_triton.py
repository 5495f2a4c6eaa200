"""The kernels for a GPU, in Triton's interpreter; on a device where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.loss.backends.problems import answer, problem, relative
from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.cut import cut
from windtunnel.loss.backends.scored import Problem, Terms

PLAIN = Terms(label_smoothing=0.0, z_loss=0.0)


# Read when triton is first imported, which is while tests are collected.
IS_HERE = torch.cuda.is_available()
if not IS_HERE:
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="module")
def ours() -> Iterator[Any]:
    """The module; its kernels are interpreted."""
    pytest.importorskip("triton")
    if IS_HERE:
        pytest.skip("the kernels run on the device")
    from windtunnel.loss.backends import cut_triton

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_triton, "N_STRETCHES", 2)
        yield cut_triton


def check(ours: Any, given: Problem, terms: Terms, preset: str, tolerance: float) -> None:
    expected, slopes = answer(given, terms)
    blocks = ours.Blocks(16, 16, 16)
    with torch.no_grad():
        work = ours.cut_in_triton(given, terms, preset, needs_gradient=True, blocks=blocks)
    assert relative(work.nll_N, expected.nll_N) < 1e-5
    assert relative(work.lse_N, expected.lse_N) < 1e-5
    for found, wanted in zip(work[3:], slopes, strict=False):
        assert relative(found, wanted) < tolerance


@pytest.mark.parametrize("shape", [(1, 2, 1), (20, 33, 17), (40, 70, 16)])
@pytest.mark.parametrize("preset", ["cce", "cce_kahan_full_c", "cce_kahan_full_e", "cce_exact"])
def test_equals_the_definition(ours: Any, shape: tuple[int, int, int], preset: str) -> None:
    check(ours, problem(*shape), PLAIN, preset, 1e-5)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("terms", [(0.0, 0.0), (0.1, 0.0), (0.2, 0.02)])
def test_every_term_with_every_other(
    ours: Any, softcap: float | None, terms: tuple[float, float]
) -> None:
    given = problem(20, 40, 24, softcap=softcap, has_bias=True, weighed=True)
    check(ours, given, Terms(*terms), "cce_exact", 1e-5)


def test_a_float32_sum_becomes_bfloat16_in_its_own_memory(ours: Any) -> None:
    wide_VD = torch.randn(37, 11, generator=torch.Generator().manual_seed(0))
    expected, place = wide_VD.bfloat16(), wide_VD.data_ptr()
    narrow_VD = ours.narrowed(wide_VD, torch.bfloat16)
    assert narrow_VD.data_ptr() == place
    torch.testing.assert_close(narrow_VD, expected, rtol=0, atol=0)


def sorted_by_tile() -> Problem:
    """Half of the tiles hold a token's target, whose gradient is 0.1; in the others it is 0.002."""
    weight_VD = torch.diag(torch.linspace(6.1, 6.0, 32))
    weights_N = torch.full((32,), 1 / 32)
    return Problem(torch.eye(32), weight_VD, None, None, torch.arange(32), weights_N)


@pytest.mark.parametrize(
    ("preset", "exact"),
    [
        ("cce", (False, False)),
        ("cce_kahan_full_c", (False, True)),
        ("cce_kahan_full_e", (True, False)),
        ("cce_exact", (True, True)),
    ],
)
def test_a_preset_filters_what_it_says(
    ours: Any, monkeypatch: pytest.MonkeyPatch, preset: str, exact: tuple[bool, bool]
) -> None:
    given = sorted_by_tile()
    monkeypatch.setattr(ours, "threshold", lambda _: 2.0**-6)
    blocks = ours.Blocks(16, 16, 32)
    work = ours.cut_in_triton(given, PLAIN, preset, needs_gradient=True, blocks=blocks)
    wide = given._replace(
        hidden_ND=given.hidden_ND.requires_grad_(), weight_VD=given.weight_VD.requires_grad_()
    )
    _, slopes = answer(wide, PLAIN)
    found: list[Tensor] = [work.d_hidden_ND, work.d_weight_VD]
    for gradient, slope, is_exact in zip(found, slopes, exact, strict=True):
        assert (relative(gradient, slope) < 1e-4) == is_exact
        assert relative(gradient, slope) < 2.0**-6 / 0.1


def test_the_threshold_is_that_of_the_paper(ours: Any) -> None:
    assert ours.threshold(torch.bfloat16) == 2.0**-12


def test_filtering_under_label_smoothing_is_refused(ours: Any) -> None:
    with pytest.raises(ValueError, match=r"loss.preset=cce leaves.*take loss.preset=cce_exact"):
        ours.cut_in_triton(problem(4, 5, 2), Terms(0.1, 0.0), "cce", needs_gradient=True)


def test_nothing_to_score(ours: Any) -> None:
    given = problem(5, 6, 4)._replace(targets_N=torch.full((5,), IGNORE_INDEX))
    work = ours.cut_in_triton(given, PLAIN, "cce", needs_gradient=True)
    assert all(part.eq(0).all() for part in work)


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["cce", "cce_kahan_full_c", "cce_kahan_full_e", "cce_exact"])
def test_on_a_device(preset: str) -> None:
    given = problem(300, 1000, 96, dtype=torch.bfloat16)
    expected, slopes = answer(given, PLAIN)
    there = Problem(
        *(x.detach().cuda().requires_grad_() for x in given[:2]), None, None,
        *(x.cuda() for x in given[4:]),
    )  # fmt: skip
    found = cut(there, PLAIN, preset)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-4)
    for slope, wanted in zip(torch.autograd.grad(found.loss, there[:2]), slopes, strict=True):
        assert relative(slope.cpu(), wanted) < 2e-2
